"""CLIP image encoders by the open_clip library: OpenAI's ViT-B/32, and every other model of the library."""

from __future__ import annotations

import functools
import importlib.util
import logging
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import nn

from semlink.cache import cache_folder
from semlink.errors import ConfigError, ModelSetError, packages_of
from semlink.image import INTERPOLATIONS
from trainer.download import RemoteFile, fetch, verify
from trainer.encoders.export import EncoderNetwork

__all__ = [
    "OPENAI_VIT_B32",
    "declare_torchvision_operators",
    "load_clip_vit_b32",
    "load_open_clip",
    "load_openai_weights",
]

_log = logging.getLogger(__name__)

_OPENAI_SHA256 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"

OPENAI_VIT_B32 = RemoteFile(
    f"https://openaipublic.azureedge.net/clip/models/{_OPENAI_SHA256}/ViT-B-32.pt",
    "sha256",
    _OPENAI_SHA256,
    ModelSetError,
)
"""CLIP ViT-B/32 as published by OpenAI; Radford et al., ICML 2021. The paper's encoder."""

_MAX_GREY = 255


def load_clip_vit_b32(weights: Path | None = None, *, progress: Progress | None = None) -> EncoderNetwork:
    """OpenAI's CLIP ViT-B/32.

    Parameters
    ----------
    weights : ViT-B-32.pt as published by OpenAI; downloaded into the cache if None
    progress : display for the bar of the download

    Raises
    ------
    ModelSetError
        If the weights cannot be downloaded, or the file is not OpenAI's (SHA-256).
    MissingDependencyError
        If open_clip is not installed.
    """
    _import_open_clip()
    # The file is a TorchScript archive, which can run code: its hash is checked before it is loaded.
    if weights is None:
        weights = fetch(OPENAI_VIT_B32, cache_folder("weights") / Path(OPENAI_VIT_B32.url).name, progress=progress)
    else:
        verify(weights, OPENAI_VIT_B32)
    return load_openai_weights(weights, name="clip-vit-b32", licence="MIT", training_data="OpenAI's WIT-400M")


def load_openai_weights(weights: Path, *, name: str, licence: str, training_data: str) -> EncoderNetwork:
    """Load a CLIP in OpenAI's own file format; the file must be trusted.

    Parameters
    ----------
    weights : TorchScript archive, or a saved state dict with OpenAI's names
    name, licence, training_data : for the manifest
    """
    open_clip = _import_open_clip()
    try:
        with warnings.catch_warnings():
            # Torch deprecates TorchScript, but OpenAI's archive is TorchScript and will stay so.
            warnings.simplefilter("ignore", DeprecationWarning)
            model = open_clip.load_openai_model(str(weights), precision="fp32", device="cpu")
    # Torch and open_clip have many error classes for a file that they cannot read.
    except (OSError, RuntimeError, KeyError, AttributeError, ValueError, pickle.UnpicklingError) as error:
        raise ModelSetError(f"{weights}: not weights in OpenAI's format: {_first_line(error)}") from None
    return _network(open_clip, model, name=name, licence=licence, training_data=training_data)


def load_open_clip(name: str, weights: Path | None = None) -> EncoderNetwork:
    """Any model of open_clip's registry.

    Parameters
    ----------
    name : "ARCHITECTURE/PRETRAINED", such as "ViT-B-32/datacomp_xl_s13b_b90k", which open_clip downloads into its own
        cache; or "ARCHITECTURE" with `weights`
    weights : file with the model's state dict

    Raises
    ------
    ConfigError
        If open_clip has no such architecture or pretrained weights.
    ModelSetError
        If the weights cannot be downloaded or do not fit.
    MissingDependencyError
        If open_clip is not installed.
    """
    open_clip = _import_open_clip()
    architecture, _, pretrained = name.partition("/")
    if architecture not in open_clip.list_models():
        raise ConfigError(f'open_clip has no architecture "{architecture}"; list them with open_clip.list_models()')
    if weights is None:
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        if pretrained not in tags:
            known = ", ".join(tags) or "none: give a file with --weights"
            raise ConfigError(f'open_clip has no weights "{pretrained}" for {architecture}; it has: {known}')
    elif not weights.is_file():
        raise ConfigError(f"--weights {weights}: no such file")
    source = pretrained if weights is None else str(weights)
    try:
        model = open_clip.create_model(
            architecture, pretrained=source, precision="fp32", device="cpu", require_pretrained=True
        )
    # Errors of a download are of whichever library open_clip downloads with.
    except Exception as error:  # noqa: BLE001
        raise ModelSetError(f"open_clip cannot load {architecture} from {source}: {_first_line(error)}") from None
    # Each of the weights has its own licence, and open_clip does not record all of them.
    licence, training_data = "see the weights' publisher", f"open_clip {architecture}, {pretrained or weights}"
    return _network(open_clip, model, name=f"open_clip:{name}", licence=licence, training_data=training_data)


@functools.cache
def declare_torchvision_operators() -> None:
    """Make torchvision importable where its compiled part cannot be loaded.

    open_clip imports torchvision, whose PyPI wheel is compiled against CUDA. On a machine without CUDA's libraries its
    operators are undefined, and the import fails where it registers `nms` with torch. semlink calls no such operator,
    so that declaring their signatures is enough.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or "torchvision" in sys.modules:
        return
    try:
        torch.ops.load_library(str(Path(spec.origin).with_name("_C.so")))
    except OSError:
        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )


def _import_open_clip() -> Any:
    declare_torchvision_operators()
    with packages_of("clip", purpose="a CLIP encoder", package="open_clip_torch"):
        import open_clip
    return open_clip


class _ImageTower(nn.Module):
    """The image half of a CLIP model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(batch, 3, size, size) normalised to (batch, feature_dim)."""
        return self.model.encode_image(pixels)


def _network(open_clip: Any, model: Any, *, name: str, licence: str, training_data: str) -> EncoderNetwork:
    trained_with = open_clip.get_model_preprocess_cfg(model)
    size = trained_with["size"]
    height_px, width_px = (size, size) if isinstance(size, int) else size
    if height_px != width_px:
        raise ConfigError(f"{name}: takes images of {width_px} x {height_px} pixels; semlink's are squares")
    interpolation = trained_with.get("interpolation", "bicubic")
    if interpolation not in INTERPOLATIONS:
        _log.warning("%s was trained with interpolation %s; semlink uses bicubic", name, interpolation)
        interpolation = "bicubic"
    resize_mode = trained_with.get("resize_mode", "shortest")
    if resize_mode != "shortest":
        _log.warning("%s was trained with resize mode %s; semlink resizes the shorter side", name, resize_mode)
    tower = _ImageTower(model.eval())
    with torch.no_grad():
        feature_dim = tower(torch.zeros(1, 3, height_px, width_px)).shape[1]
    return EncoderNetwork(
        name=name,
        network=tower,
        feature_dim=feature_dim,
        size_px=height_px,
        mean=_of_bytes(trained_with["mean"]),
        std=_of_bytes(trained_with["std"]),
        licence=licence,
        training_data=training_data,
        interpolation=interpolation,
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _of_bytes(values: Any) -> tuple[float, float, float]:
    """Channel statistics on the scale 0..1 to 0..255."""
    red, green, blue = (float(value) * _MAX_GREY for value in values)
    return red, green, blue
