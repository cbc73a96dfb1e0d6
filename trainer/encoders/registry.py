"""Image encoders by the name that a user types."""

from __future__ import annotations

from pathlib import Path

from rich.progress import Progress

from semlink.errors import ConfigError
from trainer.encoders.export import EncoderNetwork

__all__ = ["BUILTIN", "CLIP_VIT_B32", "OPEN_CLIP_PREFIX", "build_encoder"]

BUILTIN = "builtin"
CLIP_VIT_B32 = "clip-vit-b32"
OPEN_CLIP_PREFIX = "open_clip:"


def build_encoder(
    name: str,
    *,
    weights: Path | None = None,
    data_folder: Path | None = None,
    num_threads: int = 1,
    progress: Progress | None = None,
) -> EncoderNetwork:
    """Load or fit an encoder in torch, ready for `trainer.encoders.export`.

    Parameters
    ----------
    name : "builtin", "clip-vit-b32", "open_clip:ARCHITECTURE/PRETRAINED", or
        "open_clip:ARCHITECTURE" with a weights file
    weights : file to take the weights from instead of downloading them; not for "builtin"
    data_folder : where CIFAR-100 may lie, for "builtin"
    num_threads : for what has to be computed
    progress : where to show bars

    Raises
    ------
    ConfigError
        If there is no such encoder, or it takes no weights file.
    MissingDependencyError
        If the packages that carry its code are not installed.
    """
    if name == BUILTIN:
        if weights is not None:
            raise ConfigError("the builtin encoder's weights come in a package; leave out --weights")
        from trainer.encoders.builtin import build_builtin

        return build_builtin(data_folder, num_threads=num_threads, progress=progress)
    from trainer.encoders.open_clip_encoder import load_clip_vit_b32, load_open_clip

    if name == CLIP_VIT_B32:
        return load_clip_vit_b32(weights, progress=progress)
    if name.startswith(OPEN_CLIP_PREFIX):
        return load_open_clip(name.removeprefix(OPEN_CLIP_PREFIX), weights)
    known = f"{BUILTIN}, {CLIP_VIT_B32}, {OPEN_CLIP_PREFIX}ARCHITECTURE/PRETRAINED"
    raise ConfigError(f'encoder "{name}" is unknown; choose from: {known}')
