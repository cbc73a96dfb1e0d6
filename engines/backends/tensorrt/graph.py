"""ONNX graphs for TensorRT: the same function, without two constructs that its parser or builder refuses.

A graph's input may be uint8 only if the first operator on it is a cast, so the cast is placed before transposes and
reshapes. A constant may be int8 only as a quantized one, so constants that are cast before use are stored in the type
that they are cast to.

Source: TensorRT's own messages, and INetworkDefinition.add_input; `make tensorrt-rtx` builds the rewritten graphs.
"""

from __future__ import annotations

import onnx
import onnx.helper

from engines.onnx_model import load_onnx, unpack_weights

__all__ = ["ready_for_tensorrt"]

_MOVES = ("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that rearrange their first input, of any type."""


def ready_for_tensorrt(graph: bytes) -> bytes:
    """Rewrite a graph for TensorRT's parser; it computes the same function.

    Raises
    ------
    EngineError
        If it is not an ONNX graph.
    """
    model = load_onnx(graph)
    unpack_weights(model)
    for value in model.graph.input:
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
            _cast_first(model.graph, value.name)
    ready: bytes = model.SerializeToString()
    return ready


def _cast_first(graph: onnx.GraphProto, name: str) -> None:
    """If an input is only rearranged before it is cast, cast it to float32, which holds every byte, first."""
    moved = _moved(graph, name)
    if moved is None:
        return
    for node in graph.node:
        node.input[:] = [f"{name}_float" if value == name else value for value in node.input]
    # Recorded types of the values between are wrong now.
    for info in [info for info in graph.value_info if info.name in moved]:
        graph.value_info.remove(info)
    graph.node.insert(0, onnx.helper.make_node("Cast", [name], [f"{name}_float"], to=onnx.TensorProto.FLOAT))


def _moved(graph: onnx.GraphProto, name: str) -> set[str] | None:
    """Names of the input's rearranged copies; None if another operator than a cast or a shape reads them."""
    moved: set[str] = set()
    ahead = [name]
    while ahead:
        value = ahead.pop()
        for node in graph.node:
            if value not in node.input or node.op_type in ("Cast", "Shape"):
                continue
            if node.op_type not in _MOVES or list(node.input).index(value) != 0:
                return None
            moved.add(node.output[0])
            ahead.append(node.output[0])
    return moved
