"""Features of clustered images, and a knowledge base of them, without pictures or an encoder."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.support.vectors import unit
from trainer.codecs.training_data import TrainingFeatures
from trainer.links.retrieval import NoiselessRetrieval


def clustered(
    num_images: int, *, num_classes: int = 10, dim: int = 16, spread: float = 0.3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Unit features around class centres, which are the same for every seed, and their class numbers."""
    centres = np.random.default_rng(7).standard_normal((num_classes, dim))
    rng = np.random.default_rng([11, seed])
    labels = rng.integers(0, num_classes, num_images)
    return unit(centres[labels] + spread * rng.standard_normal((num_images, dim))), labels


def eight_categories(num_images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit features of 24 dimensions and category numbers: categories differ in six dimensions only."""
    centres = np.random.default_rng(0).standard_normal((8, 6))
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 8, num_images)
    features = rng.standard_normal((num_images, 24))
    features[:, :6] = centres[kinds] + 0.3 * rng.standard_normal((num_images, 6))
    return unit(features), kinds


def clustered_retrieval(num_images: int = 300, **options: Any) -> NoiselessRetrieval:
    """As many clustered images to send as there are entries, retrieved almost without error."""
    (sent, sent_labels), (kept, kept_labels) = (clustered(num_images, seed=seed, **options) for seed in (1, 2))
    return NoiselessRetrieval.of(sent, sent_labels.astype(str), kept, kept_labels.astype(str))


def clustered_training_data(num_images: int, *, num_classes: int = 10, **options: Any) -> TrainingFeatures:
    """A training set of clustered images."""
    features, labels = clustered(num_images, num_classes=num_classes, seed=3, **options)
    return TrainingFeatures(features, labels, "clusters", "clusters", tuple(map(str, range(num_classes))))
