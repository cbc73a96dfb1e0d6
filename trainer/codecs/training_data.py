"""Training sets of codecs: the features of a dataset's training images, with their labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from semlink.errors import DatasetError
from trainer.datasets import Dataset
from trainer.datasets.base import ImageList
from trainer.features import FeatureEncoder, cached_features

__all__ = ["TrainingFeatures", "training_features", "training_images"]


@dataclass(frozen=True)
class TrainingFeatures:
    """A training set.

    Attributes
    ----------
    features : (n, feature_dim) float32, L2-normalised
    labels : (n,) int64; kbsc uses them only to select the best epoch, nested not at all
    source : names of dataset and encoder, for reports
    content_key : changes whenever a feature or its image does; part of a run's key
    categories : names of the labels; empty if no codec needs them
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


def training_images(dataset: Dataset, *, whole: bool = False) -> ImageList:
    """Training images of a dataset.

    Parameters
    ----------
    whole : if the dataset has no training set, use all of its images: suitable for a codec that will be used on
        them, not for an evaluation on them

    Raises
    ------
    DatasetError
        If the dataset has no training set and `whole` is false.
    """
    if dataset.train is not None:
        return dataset.train
    if whole:
        return dataset.knowledge_base.joined(dataset.sent)
    raise DatasetError(
        f"{dataset.name} has no training images besides those that are sent and those of the knowledge base; train on"
        " cifar100, or on a folder that holds train/<class> and test/<class>"
    )


def training_features(
    dataset: Dataset, encoder: FeatureEncoder, progress: Progress, *, whole: bool = False
) -> TrainingFeatures:
    """Features of `training_images`, with labels numbered in the order of their names."""
    images = training_images(dataset, whole=whole)
    features = cached_features(images, encoder, progress=progress)
    names, labels = np.unique(np.asarray(images.labels), return_inverse=True)
    part = "training set" if dataset.train is not None else "all images"
    source = f"{dataset.name} {part}, {encoder.name} {encoder.fingerprint[:12]}"
    content_key = f"{images.content_key} {encoder.fingerprint}"
    return TrainingFeatures(features, labels.astype(np.int64), source, content_key, tuple(map(str, names)))
