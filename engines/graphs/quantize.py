"""The arithmetic of an image encoder, written into the ONNX graph itself: fp32, fp16 or int8.

A graph that says of each tensor what type it has means the same in every runtime: ONNX Runtime runs it as it is, and
TensorRT takes it as a strongly typed network, the only kind that TensorRT 11 has and one that 10.3 has too.

    fp16   weights and activations in half precision; the unit norm at the end, and both ends, in single
    int8   calibrated on pictures: weights of each output channel, activations of each tensor (quantize, dequantize).
           A graph of matrix products, such as a vision transformer, has outliers that one scale for a tensor
           loses; on a CPU its activations are therefore scaled in each call, and no images are needed.
           Weights have ranges with which no processor's products saturate: `engines.graphs.weight_ranges`.

The codec behind the encoder stays fp32: it takes a twentieth of the time, and the receiver relies on its bits.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.helper
import onnx.numpy_helper

from engines.graphs.weight_ranges import LAYERS, WeightRange, quantizer_overrides, unsaturated_range
from engines.onnx_model import load_onnx, unpack_weights
from engines.options import Precision
from semlink.errors import EngineError, MissingDependencyError

__all__ = ["LEAST_PICTURES", "Int8Style", "Tensor", "at_precision", "converter_version", "int8_style"]

Tensor = npt.NDArray[np.uint8]
"""(size, size, 3): a picture as the encoder takes it."""

_NORM_OPERATORS = ("ReduceL2", "LpNormalization")
"""Operators that begin the unit norm at a graph's end: a sum of squares, which can overflow in half precision."""
_QUANTIZED = (*LAYERS, "Add", "Clip", "Relu")
_ASYMMETRIC = {"ActivationSymmetric": False, "WeightSymmetric": True}
_SYMMETRIC = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    # TensorRT has no int32 scales, so biases stay single precision, as they are added.
    "QuantizeBias": False,
    # Around zero, a tensor without negative values has seven bits: inputs of layers are rounded to them, sums are not.
    "OpTypesToExcludeOutputQuantization": list(LAYERS),
}
_CONVOLUTIONAL_SHARE = 0.5
"""A graph counts as convolutional if this share of its layers with weights are convolutions."""
LEAST_PICTURES = 32
_SINGLE_SHARE = 0.1
"""Share of the layers that stay in single precision on a CPU, from the beginning. Their errors pass through all others,
and with few channels at full resolution they are no slower in single precision."""
_NUM_SINGLE_LAYERS_SYMMETRIC = 2
"""Layers at the beginning whose inputs range too widely for seven bits; they are a small part of the work."""
_REWRITING = 4
"""Raise it with every change of this module that changes what is rewritten."""


class Int8Style(str, enum.Enum):
    """Where the scales of an int8 graph's activations come from."""

    CALIBRATED = "calibrated"
    """Asymmetric, from pictures, once: all 256 levels serve the positive outputs of a ReLU. For CPUs."""
    SYMMETRIC = "symmetric"
    """Around zero, from pictures, once, with biases in single precision: the only style that GPUs have."""
    DYNAMIC = "dynamic"
    """Computed in each call. For CPUs."""


def converter_version() -> str:
    """Versions that a rewritten graph depends on: of the packages that rewrite, and of this module."""
    try:
        from engines.backends.onnxruntime.session import onnxruntime
    except ImportError as error:
        raise _missing(error) from None
    return f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, rewriting {_REWRITING}"


def int8_style(graph: Path, *, on_gpu: bool) -> Int8Style:
    """Style of int8 that suits a graph on the processor that will run it."""
    if on_gpu:
        return Int8Style.SYMMETRIC
    kinds = [node.op_type for node in load_onnx(graph).graph.node if node.op_type in LAYERS]
    is_convolutional = kinds.count("Conv") >= _CONVOLUTIONAL_SHARE * max(1, len(kinds))
    return Int8Style.CALIBRATED if is_convolutional else Int8Style.DYNAMIC


def at_precision(
    graph: Path,
    precision: Precision,
    *,
    style: Int8Style = Int8Style.CALIBRATED,
    pictures: Sequence[Tensor] = (),
    weight_range: WeightRange = unsaturated_range,
) -> onnx.ModelProto:
    """Rewrite an encoder's graph.

    Parameters
    ----------
    graph : fp32 graph from `image` (batch, size, size, 3) uint8 to `features`
    style : of int8
    pictures : at least 32, like the images of the link; for int8 with scales from pictures
    weight_range : of int8 on a CPU; another one is for measuring its cost

    Raises
    ------
    EngineError
        If the graph cannot be rewritten, or there are too few pictures.
    MissingDependencyError
        If a package that rewrites graphs is missing.
    """
    model = load_onnx(graph)
    if precision is Precision.FP32:
        return model
    unpack_weights(model)
    with _quiet_converters():
        if precision is Precision.FP16:
            return _in_half(model)
        return _in_int8(model, style, pictures, weight_range, name=graph.name)


def _in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        from engines.backends.onnxruntime.tools import OnnxModel, convert_float_to_float16
    except ImportError as error:
        raise _missing(error) from None
    half: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True, node_block_list=_norm_nodes(model))
    # For each node of the norm that takes the features the converter adds the same cast again, under one name.
    seen: set[str] = set()
    for node in list(half.graph.node):
        if node.output[0] in seen:
            half.graph.node.remove(node)
        seen.add(node.output[0])
    OnnxModel(half).topological_sort()  # casts were put at the end, and ONNX wants them before their use
    return half


def _norm_nodes(model: onnx.ModelProto) -> list[str]:
    """Name all nodes, and give the names of those of the unit norm, up to the graph's end."""
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
    names = [node.name for node in model.graph.node]
    first = max((number for number, name in enumerate(names) if name.startswith(_NORM_OPERATORS)), default=len(names))
    return names[first:]


def _in_int8(
    model: onnx.ModelProto, style: Int8Style, pictures: Sequence[Tensor], weight_range: WeightRange, *, name: str
) -> onnx.ModelProto:
    try:
        from engines.backends.onnxruntime.tools import (
            CalibrationMethod,
            QuantFormat,
            QuantizerModel,
            QuantType,
            quant_pre_process,
            quantize_dynamic,
            quantize_static,
        )
    except ImportError as error:
        raise _missing(error) from None
    if style is not Int8Style.DYNAMIC and len(pictures) < LEAST_PICTURES:
        raise EngineError(
            f"{name}: int8 is calibrated on at least {LEAST_PICTURES} pictures, got {len(pictures)}; name a folder"
            " with --calibrate"
        )
    with tempfile.TemporaryDirectory(prefix="semlink-int8-") as folder:
        plain, prepared, quantized = (Path(folder, f"{step}.onnx") for step in ("plain", "prepared", "int8"))
        onnx.save(model, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        ready = onnx.load(prepared)
        if style is Int8Style.DYNAMIC:
            # The quantizer would do so by itself, and give the weights other names.
            QuantizerModel(ready).replace_gemm_with_matmul()
        norm = _norm_nodes(ready)
        del ready.graph.value_info[:]  # of weights too, whose shapes the quantizer changes
        onnx.save(ready, prepared)
        if style is Int8Style.DYNAMIC:
            quantize_dynamic(
                prepared,
                quantized,
                ["MatMul"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={"TensorQuantOverrides": quantizer_overrides(ready, weight_range)},
            )
            return onnx.load(quantized)
        is_symmetric = style is Int8Style.SYMMETRIC
        quantize_static(
            prepared,
            quantized,
            _Pictures(model.graph.input[0].name, pictures),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(LAYERS if is_symmetric else _QUANTIZED),
            per_channel=True,
            # ONNX Runtime has unsigned activations on x86; with signed ones it leaves every tensor that is the input of
            # two layers, such as a residual connection's, in single precision.
            activation_type=QuantType.QInt8 if is_symmetric else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[*norm, *_first_nodes(ready, style)],
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=_SYMMETRIC
            if is_symmetric
            else {**_ASYMMETRIC, "TensorQuantOverrides": quantizer_overrides(ready, weight_range)},
        )
        return onnx.load(quantized)


def _first_nodes(model: onnx.ModelProto, style: Int8Style) -> list[str]:
    """Names of the nodes that stay in single precision at the beginning: all before the first layer in int8."""
    layers = [number for number, node in enumerate(model.graph.node) if node.op_type in LAYERS]
    num_single = _NUM_SINGLE_LAYERS_SYMMETRIC if style is Int8Style.SYMMETRIC else int(_SINGLE_SHARE * len(layers))
    end = layers[num_single] if num_single < len(layers) else len(model.graph.node)
    return [node.name for node in model.graph.node[:end]]


class _Pictures:
    """Reader for ONNX Runtime's calibration, one picture at a time."""

    def __init__(self, name: str, pictures: Sequence[Tensor]) -> None:
        self._name, self._pictures = name, iter(pictures)

    def get_next(self) -> dict[str, Tensor] | None:
        """The next input; None at the end."""
        picture = next(self._pictures, None)
        return None if picture is None else {self._name: picture[None]}


@contextlib.contextmanager
def _quiet_converters() -> Iterator[None]:
    """Quiet ONNX Runtime's tools, which log advice to the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _missing(error: ImportError) -> MissingDependencyError:
    return MissingDependencyError.of(str(error.name).partition(".")[0], extra="tx", purpose="fp16 and int8")
