"""ONNX models: the version that every graph of the link is written in, and reading files that may not be ONNX."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.helper
import onnx.numpy_helper

from semlink.errors import EngineError

__all__ = ["IR_VERSION", "OPSET", "load_onnx", "unpack_weights"]

OPSET = 18
"""Operator set; TensorRT 10.3 and ONNX Runtime 1.23 both read it."""

IR_VERSION = 10
"""File version that ONNX Runtime 1.18 and TensorRT 10.3, and all later releases, read."""


def load_onnx(graph: Path | bytes) -> onnx.ModelProto:
    """Read a file, or a serialised model; EngineError if it is not an ONNX graph."""
    try:
        return onnx.load_model_from_string(graph) if isinstance(graph, bytes) else onnx.load(graph)
    except Exception as error:  # noqa: BLE001  protobuf's DecodeError has no public home; any failure means the same
        name = "graph" if isinstance(graph, bytes) else graph
        raise EngineError(f"{name}: not an ONNX graph: {type(error).__name__}") from None


def unpack_weights(model: onnx.ModelProto) -> None:
    """Put weights that a graph stores in half precision, and casts before use, there as they are used."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Cast" and node.input[0] in stored]:
        target = onnx.helper.tensor_dtype_to_np_dtype(onnx.helper.get_node_attr_value(node, "to"))
        weights = onnx.numpy_helper.to_array(stored[node.input[0]]).astype(target)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, node.output[0]))
        model.graph.node.remove(node)
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)
