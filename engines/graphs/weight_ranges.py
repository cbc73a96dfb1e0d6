"""Ranges of int8 weights with which no processor's products saturate, so that they are the same integers on every one.

Where a processor has no instruction for sums of four 8-bit products (VNNI on x86), ONNX Runtime multiplies unsigned
activations by signed weights two at a time (`vpmaddubsw`) and sums each pair in int16: 255 * (127 + 127) = 64,770
becomes 32,767, silently. A pair cannot saturate if its weights of one sign sum to at most 128, for 255 * 128 = 32,640.

    full range    every channel's largest weight becomes 127: pairs saturate, and features are those of another network
    seven bits    every largest weight becomes 64 (ONNX Runtime's `reduce_range`): safe, and twice as coarse
    pairs         every channel's largest *pair* becomes 127: safe, and most channels lose a fraction of a bit

Sources: ONNX Runtime, core/mlas/lib: qgemm_kernel_avx2.cpp and convsym.cpp pack weights in groups of four along the
sum, from its beginning, hence the pairs are (0, 1), (2, 3) and so on; a convolution's sum runs over its kernel and then
its input channels, or the reverse, as its layout has it. docs/engines.md, "int8 on every processor".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper

__all__ = ["LAYERS", "WeightRange", "Weights", "layer_weights", "quantizer_overrides", "unsaturated_range"]

LAYERS = ("Conv", "Gemm", "MatMul")
"""Operators with weights."""

Weights: TypeAlias = npt.NDArray[np.float32]
"""(num_outputs, num_inputs) or, of a convolution, (num_outputs, num_inputs, *kernel)."""
WeightRange: TypeAlias = Callable[[Weights], npt.NDArray[np.float32]]
"""From weights to (num_outputs,) positive numbers: the magnitude that becomes 127 in each output channel."""


def unsaturated_range(weights: Weights) -> npt.NDArray[np.float32]:
    """Give the smallest range of each output channel with which no pair of products saturates.

    Each weight is rounded by half a step at most, so a pair of range 127 steps becomes 128 at most.

    Parameters
    ----------
    weights : (num_outputs, num_inputs, *kernel) float32

    Returns
    -------
    ranges : (num_outputs,) float32

    Examples
    --------
    >>> unsaturated_range(np.array([[1.0, 0.5, -1.0, 0.5], [1.0, 1.0, 0.0, 0.0]], np.float32)).tolist()
    [1.5, 2.0]
    """
    num_outputs = len(weights)
    ranges: npt.NDArray[np.float32] = np.abs(weights).reshape(num_outputs, -1).max(axis=1)
    for layout in (weights, np.moveaxis(weights, 1, -1)):
        rows = layout.reshape(num_outputs, -1)
        rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
        pairs = rows.reshape(num_outputs, -1, 2)
        for sign in (1, -1):
            sums = np.maximum(sign * pairs, 0).sum(axis=2)
            ranges = np.maximum(ranges, sums.max(axis=1))
    return ranges


def layer_weights(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, Weights, int]]:
    """Yield every layer with stored weights, its weights, and their axis of output channels, which comes first here."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in LAYERS and node.input[1] in stored:
            weights = onnx.numpy_helper.to_array(stored[node.input[1]])
            transposed = {attribute.name: attribute.i for attribute in node.attribute}.get("transB", 0)
            axis = 0 if node.op_type == "Conv" or transposed else weights.ndim - 1
            yield node, np.moveaxis(weights, axis, 0), axis


def quantizer_overrides(model: onnx.ModelProto, weight_range: WeightRange) -> dict[str, list[dict[str, float]]]:
    """Write ranges as ONNX Runtime's quantizer takes them (its option `TensorQuantOverrides`)."""
    return {
        node.input[1]: [{"axis": axis, "rmin": -float(each), "rmax": float(each)} for each in weight_range(weights)]
        for node, weights, axis in layer_weights(model)
    }
