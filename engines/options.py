"""How a model set's graphs are run: the options of `semlink tx` and `semlink engine` in one value."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from semlink.errors import ConfigError

__all__ = ["DEFAULT_OPTIONS", "Backend", "DecoderBackend", "EngineOptions", "Precision", "check_backend"]

Backend: TypeAlias = Literal["auto", "onnxruntime", "onnxruntime-tensorrt", "tensorrt"]
"""Name of a backend of transmitters, as `--backend` takes it; "auto" selects what suits the machine."""

DecoderBackend: TypeAlias = Literal["auto", "onnxruntime", "tensorrt"]
"""Name of a backend of decoder networks."""


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
    precision : of the image encoder, or its name, such as "int8"; the codec is fp32
    num_threads : CPU threads of one call, at least 1
    engines : where engines are kept; beside the model set if None

    Raises
    ------
    ConfigError
        If backend or precision is unknown, or `num_threads` is below 1.

    Examples
    --------
    >>> EngineOptions(precision="int8").precision
    <Precision.INT8: 'int8'>
    """

    backend: str = "auto"
    device: str = "auto"
    precision: Precision = Precision.FP32
    num_threads: int = 1
    engines: Path | None = None

    def __post_init__(self) -> None:
        check_backend(self.backend)
        names = [precision.value for precision in Precision]
        if self.precision not in names:
            raise ConfigError(f'precision "{self.precision}" is not known; choose from: {", ".join(names)}')
        if self.num_threads < 1:
            raise ConfigError(f"num_threads must be at least 1, got {self.num_threads}")
        object.__setattr__(self, "precision", Precision(self.precision))


def check_backend(backend: str) -> None:
    """Refuse the name of an unknown backend with a ConfigError that lists those there are."""
    if backend not in get_args(Backend):
        raise ConfigError(f'backend "{backend}" is not known; choose from: {", ".join(get_args(Backend))}')


DEFAULT_OPTIONS = EngineOptions()
"""fp32 on one thread, in whatever suits the machine."""
