"""A graph rewritten for TensorRT computes what it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from engines.backends.onnxruntime.cpu import OnnxRuntimeRunner
from engines.backends.tensorrt.graph import ready_for_tensorrt
from engines.graphs.compose import compose_transmitter
from engines.graphs.nested import nested_encoder
from engines.graphs.quantize import at_precision
from engines.models.model_set import ModelSet
from engines.options import Precision
from semlink.errors import EngineError
from semlink.rates import RATES
from tests.support.model_sets import make_codebook

HEADER = '<ir_version: 10, opset_import: ["" : 18]>'


def graph_of(body: str) -> bytes:
    return onnx.parser.parse_model(f"{HEADER} g {body}").SerializeToString()


def runs_on(graph: bytes, operator: str) -> list[int]:
    """Element types of the first inputs of a kind of node, as ONNX infers them."""
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(graph), strict_mode=True)
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return [types[node.input[0]] for node in model.graph.node if node.op_type == operator]


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_the_transmitters_graph_gives_the_same_codes(model_set: ModelSet, precision: Precision) -> None:
    codebook = make_codebook(16, np.random.default_rng(0))
    encoder = at_precision(model_set.encoder_path, precision)
    graph = compose_transmitter([encoder, nested_encoder(codebook)], RATES)
    picture = np.random.default_rng(1).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    ready = ready_for_tensorrt(graph)
    codes = OnnxRuntimeRunner(graph)(picture).astype(int)
    # Constants cast beforehand let ONNX Runtime add in another order: a rounding may fall the other way.
    assert np.abs(OnnxRuntimeRunner(ready)(picture) - codes).max() <= 1


def test_bytes_are_cast_before_they_are_moved() -> None:
    graph = graph_of(
        "(uint8[batch, 2, 3] image) => (float[batch, 3, 2] y, int64[3] size)"
        " { size = Shape (image)  moved = Transpose <perm = [0, 2, 1]> (image)  y = Cast <to = 1> (moved) }"
    )
    assert runs_on(graph, "Transpose") == [TensorProto.UINT8]
    ready = ready_for_tensorrt(graph)
    assert runs_on(ready, "Transpose") == [TensorProto.FLOAT]
    assert onnx.load_model_from_string(ready).graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8


def test_bytes_that_are_computed_with_stay_bytes() -> None:
    """To cast them first would give other numbers: 200 + 100 is 44 in bytes."""
    graph = graph_of(
        "(uint8[batch, 2] image) => (float[batch, 2] y)"
        " <uint8 hundred = {100}> { sum = Add (image, hundred)  y = Cast <to = 1> (sum) }"
    )
    assert ready_for_tensorrt(graph) == graph


def test_no_int8_constant_is_cast(tmp_path: Path) -> None:
    codebook = make_codebook(16, np.random.default_rng(0))
    graph = nested_encoder(codebook).SerializeToString()
    stored = {tensor.data_type for tensor in onnx.load_model_from_string(graph).graph.initializer}
    ready = {tensor.data_type for tensor in onnx.load_model_from_string(ready_for_tensorrt(graph)).graph.initializer}
    assert TensorProto.INT8 in stored
    assert ready <= {TensorProto.FLOAT, TensorProto.INT64}


def test_no_graph() -> None:
    with pytest.raises(EngineError, match="not an ONNX graph"):
        ready_for_tensorrt(b"\xff\xff")
