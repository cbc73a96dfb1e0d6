"""What codecs learn from: the features of a dataset's training images, with their labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from engines.models.image_encoder import ImageEncoder
from semlink.errors import DatasetError
from trainer.datasets import Dataset
from trainer.features import cached_features

__all__ = ["TrainingFeatures", "training_features"]


@dataclass(frozen=True)
class TrainingFeatures:
    """What a codec learns from.

    Attributes
    ----------
    features : (n, feature_dim) float32, L2-normalised
    labels : (n,) int64; kbsc uses them only to choose the best epoch, nested not at all
    source : dataset and encoder, for people
    content_key : changes whenever a feature or its image does; part of the run's key
    categories : names of the labels; empty where nobody asks for them
    """

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    source: str
    content_key: str
    categories: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Changes whenever a feature, a label or a category's name does."""
        digest = hashlib.sha256(f"{self.content_key}\n{self.categories}".encode())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()


def training_features(
    dataset: Dataset, encoder: ImageEncoder, progress: Progress, *, whole: bool = False
) -> TrainingFeatures:
    """Features of a dataset's training set, with labels numbered by name.

    Parameters
    ----------
    whole : learn from all images of a dataset that has no training set: right for a codec that goes to
        work among them, wrong for an evaluation on them

    Raises
    ------
    DatasetError
        If the dataset has no training set, and may not be taken whole.
    """
    images = dataset.train
    if images is None and whole:
        images = dataset.knowledge_base.joined(dataset.sent)
    if images is None:
        raise DatasetError(
            f"{dataset.name} has no images to train on besides those that are sent and known; train on cifar100,"
            " or on a folder that holds train/<class> and test/<class>"
        )
    features = cached_features(images, encoder, progress=progress)
    names, labels = np.unique(np.asarray(images.labels), return_inverse=True)
    part = "training set" if dataset.train is not None else "all images"
    source = f"{dataset.name} {part}, {encoder.name} {encoder.fingerprint[:12]}"
    content_key = f"{images.content_key} {encoder.fingerprint}"
    return TrainingFeatures(features, labels.astype(np.int64), source, content_key, tuple(map(str, names)))
