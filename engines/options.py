"""How a model set's graphs are run: the options of `semlink tx` and `semlink engine` in one value."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DEFAULT_OPTIONS", "EngineOptions", "Precision"]


class Precision(str, enum.Enum):
    """Arithmetic of the image encoder; `engines.graphs.quantize` writes it into the graph."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True)
class EngineOptions:
    """Backend, device and arithmetic of a graph; `engines.factory` loads runners by them.

    Attributes
    ----------
    backend, device : see `engines.backends.target.choose_target`
    precision : of the image encoder; the codec is fp32
    num_threads : CPU threads of one call
    engines : where engines are kept; beside the model set if None
    """

    backend: str = "auto"
    device: str = "auto"
    precision: Precision = Precision.FP32
    num_threads: int = 1
    engines: Path | None = None


DEFAULT_OPTIONS = EngineOptions()
"""fp32 on one thread, in whatever suits the machine."""
