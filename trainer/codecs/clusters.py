"""k-means and principal components; the same seed gives the same values within `trainer.threads.one_thread`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray
from semlink.errors import packages_of

__all__ = ["cluster_centres", "cluster_tree", "principal_components"]


def cluster_centres(points: FloatArray, num_cells: int, *, seed: int, max_iterations: int = 20) -> FloatArray:
    """Centres of k-means over (n, dim) float32 points, (num_cells, dim) float32.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.
    """
    with packages_of("demo", purpose="fitting a codec", package="scikit-learn"):
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
    means = KMeans(num_cells, init="random", n_init=1, max_iter=max_iterations, random_state=seed)
    with warnings.catch_warnings():
        # Points that coincide leave clusters empty. Rounding decides whether they do, and an empty one is never chosen.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(means.fit(points).cluster_centers_, dtype=np.float32)


def cluster_tree(directions: FloatArray, sizes: Sequence[int], *, seed: int, max_iterations: int) -> list[FloatArray]:
    """Hierarchical k-means: each cluster is divided into clusters of its own, in proportion to its size.

    Parameters
    ----------
    directions : (n, dim) float32, of unit length
    sizes : number of clusters of each level, increasing; n is at least ten times the last

    Returns
    -------
    levels : for each of `sizes`, (sizes[-1], dim) float32 of unit length: for each of the finest clusters, the centre
        of that level's cluster which contains it
    """
    members = [np.arange(len(directions))]
    lineages: list[list[FloatArray]] = [[]]
    for size in sizes:
        next_members: list[npt.NDArray[np.int64]] = []
        next_lineages: list[list[FloatArray]] = []
        for rows, lineage, count in zip(
            members, lineages, _apportioned([len(rows) for rows in members], size), strict=True
        ):
            # An undivided cluster keeps its centre; it may be empty, which k-means would refuse.
            undivided = lineage[-1][None] if lineage and count == 1 else None
            centres = _unit_centres(directions[rows], count, seed, max_iterations) if undivided is None else undivided
            nearest = (directions[rows] @ centres.T).argmax(axis=1)
            next_members += [rows[nearest == number] for number in range(count)]
            next_lineages += [[*lineage, centre] for centre in centres]
        members, lineages = next_members, next_lineages
    return [np.stack(level) for level in zip(*lineages, strict=True)]


def _unit_centres(directions: FloatArray, count: int, seed: int, max_iterations: int) -> FloatArray:
    centres = cluster_centres(directions, count, seed=seed, max_iterations=max_iterations)
    return np.asarray(centres / np.linalg.norm(centres, axis=1, keepdims=True), dtype=np.float32)


def _apportioned(counts: Sequence[int], total: int) -> list[int]:
    """Shares of `total` in proportion to `counts`, at least one each, by highest averages (D'Hondt)."""
    weights, shares = np.asarray(counts, dtype=np.float64), np.ones(len(counts), dtype=np.int64)
    for _ in range(total - len(counts)):
        shares[(weights / (shares + 1)).argmax()] += 1
    return shares.tolist()


def principal_components(centred: FloatArray) -> FloatArray:
    """Principal components of (n, dim) float32 centred points, as the columns of (dim, dim) float32.

    Columns are orthonormal and sorted by decreasing variance.
    """
    # Not scikit-learn's PCA: its values differ in the last digits, and shipped codebooks are compared by their hashes.
    moments = (centred.T @ centred).astype(np.float64) / len(centred)
    _, components = np.linalg.eigh(moments)
    components = components[:, ::-1]
    # The sign of an eigenvector depends on the LAPACK build: fix it by the largest component.
    signs = np.sign(components[np.abs(components).argmax(axis=0), np.arange(components.shape[1])])
    return np.asarray(components * signs, dtype=np.float32)
