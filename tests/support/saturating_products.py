"""Emulates the int8 products of processors without instructions for sums of four, over an ONNX graph.

ONNX Runtime multiplies uint8 activations by int8 weights in pairs there, and sums each pair in int16 (`vpmaddubsw` of
AVX2 and of AVX-512 without VNNI). Everything else of the graph runs in ONNX's reference evaluator.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Array = npt.NDArray[Any]
Layer = type[OpRun]


class Products(enum.Enum):
    """How products are summed; the two layouts sum a convolution's in different orders, and so pair others."""

    EXACT = enum.auto()
    SATURATING_NCHW = enum.auto()
    SATURATING_NHWC = enum.auto()


_FIRST_OPSET = 19
"""The first whose (de)quantization the evaluator has; that of older ones is the same for int8."""

SATURATING = (Products.SATURATING_NCHW, Products.SATURATING_NHWC)


def run(model: onnx.ModelProto, image: Array, products: Products) -> Array:
    """Run a graph of one input and one output that `engines.graphs.quantize` has written in int8."""
    emulated = onnx.ModelProto()
    emulated.CopyFrom(model)
    _take_integers(emulated)
    evaluator = ReferenceEvaluator(emulated, new_ops=_layers(products))
    (output,) = evaluator.run(None, {model.graph.input[0].name: image})
    return np.asarray(output)


def sum_of_products(activations: Array, weights: Array, products: Products) -> Array:
    """(rows, inputs) uint8 times (outputs, inputs) int8, summed over the inputs: (rows, outputs) int64."""
    odd = activations.shape[1] % 2
    a, w = (np.pad(each.astype(np.int64), ((0, 0), (0, odd))) for each in (activations, weights))
    if products is Products.EXACT:
        return np.asarray(a @ w.T)
    pairs = a[:, None, 0::2] * w[None, :, 0::2] + a[:, None, 1::2] * w[None, :, 1::2]
    limits = np.iinfo(np.int16)
    return np.asarray(np.clip(pairs, limits.min, limits.max).sum(axis=2))


def _take_integers(model: onnx.ModelProto) -> None:
    """Replace each layer between dequantized tensors by one of ours, which takes the integers and their scales."""
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "MatMul", "Gemm"):
            continue
        sources = [makers.get(name) for name in node.input[:2]]
        if any(source is None or source.op_type != "DequantizeLinear" for source in sources):
            continue
        bias = list(node.input[2:])
        del node.input[:]
        node.input.extend([*sources[0].input, *sources[1].input, *bias])
        node.op_type, node.domain = f"Integer{node.op_type}", "emulated"
    for opset in model.opset_import:
        if not opset.domain:
            opset.version = max(opset.version, _FIRST_OPSET)
    model.opset_import.append(helper.make_opsetid("emulated", 1))


def _layers(products: Products) -> list[Layer]:
    class MatMulInteger(OpRun):
        def _run(self, a: Array, b: Array, a_zero: Array, b_zero: Array) -> tuple[Array]:
            assert not np.any(b_zero)
            return (_centred(a, a_zero, b.T, products).astype(np.int32),)

    class IntegerMatMul(OpRun):
        op_domain = "emulated"

        def _run(
            self, a: Array, a_scale: Array, a_zero: Array, b: Array, b_scale: Array, b_zero: Array
        ) -> tuple[Array]:
            assert not np.any(b_zero)
            return ((_centred(a, a_zero, b.T, products) * a_scale * b_scale).astype(np.float32),)

    class IntegerConv(OpRun):
        op_domain = "emulated"

        def _run(
            self,
            a: Array,
            a_scale: Array,
            a_zero: Array,
            w: Array,
            w_scale: Array,
            w_zero: Array,
            bias: Array | float = 0.0,
            *,
            group: int = 1,
            pads: list[int],
            strides: list[int],
            **_: object,
        ) -> tuple[Array]:
            assert not np.any(w_zero)
            assert group == 1
            padding = [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])]
            padded = np.pad(a, padding, constant_values=int(a_zero))
            windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[2:], axis=(2, 3))
            windows = windows[:, :, :: strides[0], :: strides[1]].transpose(0, 2, 3, 1, 4, 5)
            if products is Products.SATURATING_NHWC:
                windows, w = np.moveaxis(windows, 3, -1), np.moveaxis(w, 1, -1)
            shape = windows.shape[:3]
            sums = _centred(windows.reshape(np.prod(shape), -1), a_zero, w.reshape(len(w), -1), products)
            values = sums * a_scale * w_scale + bias
            return (values.reshape(*shape, -1).transpose(0, 3, 1, 2).astype(np.float32),)

    return [MatMulInteger, IntegerMatMul, IntegerConv]


def _centred(a: Array, a_zero: Array, w: Array, products: Products) -> Array:
    """The products of `a - a_zero`: the zero point's share is subtracted afterwards, exactly, as the kernels do."""
    zero = np.asarray(a_zero, np.int64)
    return sum_of_products(a, w, products) - zero * w.astype(np.int64).sum(axis=1)
