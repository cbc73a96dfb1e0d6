"""Vectors such as image encoders give."""

from __future__ import annotations

import numpy as np


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length, float32."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def gathered(num_vectors: int, dim: int, *, num_points: int) -> np.ndarray:
    """Unit vectors around random points, as features are."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((num_points, dim))
    return unit(points[rng.integers(0, num_points, num_vectors)] + 0.6 * rng.standard_normal((num_vectors, dim)))
