"""Hierarchical k-means and principal components."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs semlink[train]")

from tests.support.retrieval import clustered
from trainer.codecs.clusters import cluster_tree, principal_components

DIM = 16


def test_cells_lie_within_the_cells_of_the_level_before() -> None:
    features, _ = clustered(3000, num_classes=20, spread=0.35)
    coarse, fine = cluster_tree(features, [10, 60], seed=0, max_iterations=20)
    assert coarse.shape == fine.shape == (60, DIM)
    assert len(np.unique(coarse, axis=0)) == 10
    assert len(np.unique(fine, axis=0)) == 60
    nearest = (fine @ np.unique(coarse, axis=0).T).argmax(axis=1)
    assert np.mean((np.unique(coarse, axis=0)[nearest] == coarse).all(axis=1)) > 0.8


def test_empty_clusters_are_not_divided() -> None:
    """Two directions, each 500 times: most clusters are empty."""
    features = np.repeat(np.eye(2, DIM, dtype=np.float32), 500, axis=0)
    levels = cluster_tree(features, [4, 20], seed=0, max_iterations=20)
    assert all(np.isfinite(level).all() and level.shape == (20, DIM) for level in levels)


def test_principal_components_are_orthonormal_and_sorted() -> None:
    features, _ = clustered(2000)
    centred = features - features.mean(axis=0)
    components = principal_components(centred)
    np.testing.assert_allclose(components.T @ components, np.eye(DIM), atol=1e-5)
    variance = np.square(centred @ components).mean(axis=0)
    assert (np.diff(variance) <= 1e-6).all()
    # The sign is fixed: the largest component of each column is positive.
    assert (components[np.abs(components).argmax(axis=0), np.arange(DIM)] > 0).all()
