"""Reading ONNX graphs that may not be any."""

from __future__ import annotations

from pathlib import Path

import onnx

from semlink.errors import EngineError

__all__ = ["load_onnx"]


def load_onnx(graph: Path | bytes) -> onnx.ModelProto:
    """Read a file, or a serialised model; EngineError if it is no ONNX graph."""
    try:
        return onnx.load_model_from_string(graph) if isinstance(graph, bytes) else onnx.load(graph)
    except Exception as error:  # noqa: BLE001  protobuf's DecodeError has no public home; any failure means the same
        name = "graph" if isinstance(graph, bytes) else graph
        raise EngineError(f"{name}: not an ONNX graph: {type(error).__name__}") from None
