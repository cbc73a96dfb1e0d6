"""An ONNX graph as TensorRT takes it: the same function, without two things that its parser or builder refuses.

A graph's input may be uint8 only if a cast is the first that happens to it, so a cast goes before the transposes and
reshapes that only move numbers. A constant may be int8 only as a quantized one, so constants that are cast before use
are stored as what they are cast to.

Source: TensorRT's own messages, and INetworkDefinition.add_input; `make tensorrt-rtx` builds what comes of it.
"""

from __future__ import annotations

import onnx
import onnx.helper

from engines.graphs.onnx_file import load_onnx
from engines.graphs.quantize import unpack_weights

__all__ = ["ready_for_tensorrt"]

_MOVES = ("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that give the numbers of their first input, whatever their type."""


def ready_for_tensorrt(graph: bytes) -> bytes:
    """Rewrite a graph for TensorRT's parser; it computes what it did.

    Raises
    ------
    EngineError
        If it is no ONNX graph.
    """
    model = load_onnx(graph)
    unpack_weights(model)
    for value in model.graph.input:
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
            _cast_first(model.graph, value.name)
    ready: bytes = model.SerializeToString()
    return ready


def _cast_first(graph: onnx.GraphProto, name: str) -> None:
    """Where an input is only moved before it is cast, cast it to float32, which holds every byte, and then move it."""
    moved = _moved(graph, name)
    if moved is None:
        return
    for node in graph.node:
        node.input[:] = [f"{name}_float" if value == name else value for value in node.input]
    # What is said of the values between no longer holds: they have the other type.
    for info in [info for info in graph.value_info if info.name in moved]:
        graph.value_info.remove(info)
    graph.node.insert(0, onnx.helper.make_node("Cast", [name], [f"{name}_float"], to=onnx.TensorProto.FLOAT))


def _moved(graph: onnx.GraphProto, name: str) -> set[str] | None:
    """The values that are an input moved; None if anything is done with them but to cast them or ask their shape."""
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
