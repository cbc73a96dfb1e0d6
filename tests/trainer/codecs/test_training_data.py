"""Training sets of datasets."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.errors import DatasetError
from trainer.codecs.training_data import training_features, training_images
from trainer.datasets.base import Dataset, ImageList


def images(*labels: str) -> ImageList:
    rng = np.random.default_rng(len(labels))
    pictures = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in labels]
    return ImageList.of_arrays(pictures, [f"{len(labels)}-{index}" for index in range(len(labels))], list(labels))


def test_training_set_is_used_if_there_is_one(model_set: ModelSet) -> None:
    train = images("cat", "boat", "cat")
    dataset = Dataset("d", images("cat"), images("cat", "boat"), train, "the label")
    assert training_images(dataset) is train
    assert training_images(dataset, whole=True) is train
    progress = Progress(console=Console(quiet=True), disable=True)
    data = training_features(dataset, ImageEncoder(model_set), progress)
    assert data.features.shape == (3, 16)
    assert data.categories == ("boat", "cat")
    assert data.labels.tolist() == [1, 0, 1]
    assert data.source.startswith("d training set, ")


def test_dataset_without_one_is_used_whole_or_refused() -> None:
    dataset = Dataset("d", images("cat"), images("cat", "boat"), None, "the label")
    assert list(training_images(dataset, whole=True).labels) == ["cat", "boat", "cat"]
    with pytest.raises(DatasetError, match="d has no training images besides"):
        training_images(dataset)
