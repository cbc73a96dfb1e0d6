"""The arithmetic that is written into graphs: fp16 and int8, their layers, and the features that they give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import pytest

from engines.backends.runner import load_runner
from engines.graphs.quantize import Int8Style, at_precision, int8_style
from engines.options import Precision
from semlink.errors import EngineError
from tests.support.precisions import Precisions


@pytest.mark.parametrize(
    ("precision", "least_cosine", "most_share"), [(Precision.FP16, 0.999, 1.05), (Precision.INT8, 0.98, 0.6)]
)
def test_features_are_nearly_those_of_fp32(
    precisions: Precisions, precision: Precision, least_cosine: float, most_share: float
) -> None:
    model = precisions.at(precision)
    if precisions.is_builtin:  # whose file stores its weights in half precision already
        assert len(model.SerializeToString()) < most_share * precisions.models.encoder_path.stat().st_size
    images = np.stack(precisions.images[:12])
    features = load_runner(model.SerializeToString())(images)
    reference = precisions.models.load_encoder()(images)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, atol=1e-3)
    assert not np.array_equal(features, reference)
    assert np.sum(features * reference, axis=1).mean() > least_cosine


def test_arithmetic_is_what_was_asked_for(precisions: Precisions) -> None:
    """Not only the weights: convolutions compute in it, and the unit norm does not."""
    half = precisions.at(Precision.FP16)
    types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    convolutions = [node for node in half.graph.node if node.op_type == "Conv"]
    assert {types[node.input[1]] for node in convolutions} == {onnx.TensorProto.FLOAT16}
    casts = {node.output[0]: node.attribute[0].i for node in half.graph.node if node.op_type == "Cast"}
    (norm,) = (node for node in half.graph.node if node.op_type == "ReduceL2")
    assert casts[norm.input[0]] == onnx.TensorProto.FLOAT
    quantized = precisions.at(Precision.INT8)
    makers = {name: node.op_type for node in quantized.graph.node for name in node.output}
    in_int8 = [
        {makers.get(name) for name in node.input[:2]} == {"DequantizeLinear"}
        for node in quantized.graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul")
    ]
    num_single = len(in_int8) // 10
    assert in_int8 == [False] * num_single + [True] * (len(in_int8) - num_single)
    norm_input = next(node for node in quantized.graph.node if node.op_type == "ReduceL2").input[0]
    assert not any(node.op_type == "QuantizeLinear" and norm_input in node.input for node in quantized.graph.node)


def test_no_pair_of_int8_products_can_saturate(precisions: Precisions) -> None:
    """Of any activations, in any layout: 255 times two weights of one sign stays within int16."""
    graph = precisions.at(Precision.INT8).graph
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    consumers = {name: node for node in graph.node for name in node.input}
    dequantized = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored]
    layers = [node for node in dequantized if stored[node.input[0]].ndim > 1]
    assert len(layers) == (45 if precisions.is_builtin else 3)
    for node in layers:
        weights = stored[node.input[0]]
        assert weights.dtype == np.int8
        weights = weights.T if consumers[node.output[0]].op_type == "MatMul" else weights
        for layout in (weights, np.moveaxis(weights, 1, -1)):
            rows = layout.reshape(len(weights), -1).astype(int)
            pairs = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)
            assert max(np.maximum(sign * pairs, 0).sum(axis=2).max() for sign in (1, -1)) <= 128


def test_too_few_images_to_calibrate_on(small: Precisions) -> None:
    with pytest.raises(EngineError, match="at least 32 pictures, got 3"):
        at_precision(small.models.encoder_path, Precision.INT8, pictures=small.images[:3])


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(EngineError, match="not an ONNX graph"):
        at_precision(tmp_path / "encoder.onnx", Precision.FP16)


def test_transformers_are_scaled_in_each_call(small: Precisions, tmp_path: Path) -> None:
    products = "\n".join(f"y{i + 1} = MatMul (y{i}, w)" for i in range(4))
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 18]>
        encoder (uint8[batch, 8] image) => (float[batch, 8] features) <float[8, 8] w = {{{", ".join(["0.1"] * 64)}}}>
        {{ y0 = Cast <to = 1> (image)
           {products}
           length = ReduceL2 <keepdims = 1> (y4)
           features = Div (y4, length) }}
    """)
    onnx.save(model, tmp_path / "encoder.onnx")
    assert int8_style(tmp_path / "encoder.onnx", on_gpu=False) is Int8Style.DYNAMIC
    assert int8_style(small.models.encoder_path, on_gpu=False) is Int8Style.CALIBRATED
    assert int8_style(small.models.encoder_path, on_gpu=True) is Int8Style.SYMMETRIC
    quantized = at_precision(tmp_path / "encoder.onnx", Precision.INT8, style=Int8Style.DYNAMIC)
    assert "DynamicQuantizeLinear" in {node.op_type for node in quantized.graph.node}
