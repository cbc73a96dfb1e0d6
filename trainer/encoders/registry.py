"""Image encoders by name: those of this package, and those that installed packages add."""

from __future__ import annotations

import importlib.metadata
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rich.progress import Progress

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.cache import cache_folder
from semlink.errors import ConfigError, ResultsError, SemlinkError, packages_of
from semlink.files import locked_file
from trainer.encoders.callable_encoder import CallableEncoder
from trainer.features import FeatureEncoder

__all__ = [
    "BUILTIN",
    "CLIP_VIT_B32",
    "ENTRY_POINT_GROUP",
    "OPEN_CLIP_PREFIX",
    "EncoderSource",
    "encoder_names",
    "load_encoder",
    "open_encoder",
    "require_encoder",
]

BUILTIN = "builtin"
CLIP_VIT_B32 = "clip-vit-b32"
OPEN_CLIP_PREFIX = "open_clip:"
ENTRY_POINT_GROUP = "semlink.encoders"
"""Entry points of this group are encoders: the name is the encoder's, the value an `EncoderSource` or a function that
returns one."""


class EncoderSource(Protocol):
    """`EncoderNetwork` (torch), `OnnxEncoder` (an ONNX file) or `CallableEncoder` (a Python function)."""

    @property
    def name(self) -> str:
        """Name in the manifest."""
        ...

    def write(self, folder: Path) -> ModelSet:
        """Write a model set without a codec; ConfigError if the encoder cannot be a graph."""
        ...


def encoder_names() -> tuple[str, ...]:
    """Names of all encoders, for messages; imports no package of an encoder."""
    installed = sorted({entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)})
    return (BUILTIN, CLIP_VIT_B32, f"{OPEN_CLIP_PREFIX}ARCHITECTURE/PRETRAINED", *installed)


def require_encoder(name: str) -> None:
    """ConfigError if there is no encoder of a name; loads none."""
    installed = {entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}
    if name not in {BUILTIN, CLIP_VIT_B32, *installed} and not name.startswith(OPEN_CLIP_PREFIX):
        raise ConfigError(f'encoder "{name}" is unknown; choose from: {", ".join(encoder_names())}')


def load_encoder(
    name: str,
    *,
    weights: Path | None = None,
    data_folder: Path | None = None,
    num_threads: int = 1,
    progress: Progress | None = None,
) -> EncoderSource:
    """Load or fit an encoder.

    Parameters
    ----------
    name : "builtin", "clip-vit-b32", "open_clip:ARCHITECTURE/PRETRAINED", "open_clip:ARCHITECTURE" with `weights`, or
        the name of an entry point of the group `semlink.encoders`
    weights : weights file of a CLIP encoder, in place of a download
    data_folder : first folder to search for CIFAR-100, for "builtin"
    num_threads : CPU threads, for "builtin"
    progress : display for bars

    Raises
    ------
    ConfigError
        If there is no such encoder, it takes no weights file, or an entry point's value is no encoder.
    MissingDependencyError
        If a package that the encoder needs is not installed.
    """
    require_encoder(name)
    is_clip = name == CLIP_VIT_B32 or name.startswith(OPEN_CLIP_PREFIX)
    if weights is not None and not is_clip:
        raise ConfigError(f'--weights is for {CLIP_VIT_B32} and {OPEN_CLIP_PREFIX}ARCHITECTURE, not for "{name}"')
    if name == BUILTIN:
        build = _torch_function("trainer.encoders.builtin:build_builtin", name)
        return _source(name, build(data_folder, num_threads=num_threads, progress=progress))
    if name == CLIP_VIT_B32:
        load = _torch_function("trainer.encoders.open_clip_encoder:load_clip_vit_b32", name)
        return _source(name, load(weights, progress=progress))
    if is_clip:
        load = _torch_function("trainer.encoders.open_clip_encoder:load_open_clip", name)
        return _source(name, load(name.removeprefix(OPEN_CLIP_PREFIX), weights))
    entry = next(iter(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=name)))
    try:
        value = entry.load()
        value = value() if callable(value) else value
    except SemlinkError:
        raise
    except Exception as error:
        raise ConfigError(f'encoder "{name}": {entry.value} cannot be loaded: {error}') from error
    return _source(name, value)


def open_encoder(source: EncoderSource, *, num_threads: int = 1) -> FeatureEncoder:
    """Make an encoder ready to encode: a graph is written into the cache and loaded from there.

    Raises
    ------
    ResultsError
        If the cache cannot be written.
    """
    if isinstance(source, CallableEncoder):
        return source
    folder = cache_folder("encoders", source.name.replace("/", "_"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Another process may write another encoder of this name: graph and manifest are read before it can.
        with locked_file(folder / "lock"):
            return ImageEncoder(source.write(folder), num_threads=num_threads)
    except OSError as error:
        raise ResultsError(
            f"{folder}: the encoder cannot be written: {error.strerror or error}; set SEMLINK_CACHE to another folder"
        ) from None


def _torch_function(reference: str, name: str) -> Callable[..., Any]:
    """Import a function by its import string, so that this module is imported without torch."""
    with packages_of("train", purpose=f'encoder "{name}"'):
        function: Callable[..., Any] = pkgutil.resolve_name(reference)
    return function


def _source(name: str, value: Any) -> EncoderSource:
    if not isinstance(getattr(value, "name", None), str) or not callable(getattr(value, "write", None)):
        raise ConfigError(
            f'encoder "{name}": expected an EncoderNetwork, OnnxEncoder or CallableEncoder, or a function that returns'
            f" one, got {type(value).__name__}"
        )
    source: EncoderSource = value
    return source
