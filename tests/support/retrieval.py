"""Features of clustered images, and a knowledge base of them, without pictures or an encoder."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.codecs.training_data import TrainingFeatures
from trainer.links.retrieval import NoiselessRetrieval


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length, float32."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clustered(
    num_images: int, *, num_classes: int = 10, dim: int = 16, spread: float = 0.3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Unit features around class centres, which are the same for every seed, and their class numbers."""
    centres = np.random.default_rng(7).standard_normal((num_classes, dim))
    rng = np.random.default_rng([11, seed])
    labels = rng.integers(0, num_classes, num_images)
    return unit(centres[labels] + spread * rng.standard_normal((num_images, dim))), labels


def clustered_retrieval(num_images: int = 300, **options: Any) -> NoiselessRetrieval:
    """As many clustered images to send as there are entries, retrieved almost without error."""
    (sent, sent_labels), (kept, kept_labels) = (clustered(num_images, seed=seed, **options) for seed in (1, 2))
    return NoiselessRetrieval.of(sent, sent_labels.astype(str), kept, kept_labels.astype(str))


def clustered_training_data(num_images: int, *, num_classes: int = 10, **options: Any) -> TrainingFeatures:
    """A training set of clustered images."""
    features, labels = clustered(num_images, num_classes=num_classes, seed=3, **options)
    return TrainingFeatures(features, labels, "clusters", "clusters", tuple(map(str, range(num_classes))))
