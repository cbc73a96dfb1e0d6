"""How a model set's graphs are run: what the options of `semlink tx` and `semlink engine` say, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engines.graphs.precision import Precision

__all__ = ["DEFAULT_OPTIONS", "EngineOptions"]


@dataclass(frozen=True)
class EngineOptions:
    """What runs a picture's graph; `engines.factory` makes engines by it.

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
