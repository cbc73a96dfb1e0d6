"""k-means and principal components; the same for the same seed within `trainer.threads.one_thread`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray
from semlink.errors import MissingDependencyError

__all__ = ["cluster_centres", "cluster_tree", "principal_components"]


def cluster_centres(points: FloatArray, num_cells: int, *, seed: int, max_iterations: int = 20) -> FloatArray:
    """k-means: (num_cells, dim) float32.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
    except ImportError:
        raise MissingDependencyError.of("scikit-learn", extra="train", purpose="fitting a code") from None
    means = KMeans(num_cells, init="random", n_init=1, max_iter=max_iterations, random_state=seed)
    with warnings.catch_warnings():
        # Points that coincide leave clusters empty. Rounding decides whether they do, and an empty one is never chosen.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(means.fit(points).cluster_centers_, dtype=np.float32)


def cluster_tree(directions: FloatArray, sizes: Sequence[int], *, seed: int, max_iterations: int) -> list[FloatArray]:
    """k-means level by level: each cluster is cut into clusters of its own, the more the more it holds.

    Parameters
    ----------
    directions : (n, dim) float32, of unit length
    sizes : clusters of each level, rising; n at least ten for each of the last

    Returns
    -------
    levels : for each of `sizes`, (sizes[-1], dim) float32 of unit length: the centre of that level's cluster
        that each of the finest ones lies in
    """
    members = [np.arange(len(directions))]
    lineages: list[list[FloatArray]] = [[]]
    for size in sizes:
        next_members: list[npt.NDArray[np.int64]] = []
        next_lineages: list[list[FloatArray]] = []
        for rows, lineage, count in zip(members, lineages, _dealt([len(rows) for rows in members], size), strict=True):
            # Of a cluster that stays whole nothing new is learnt, and it may be empty.
            uncut = lineage[-1][None] if lineage and count == 1 else None
            centres = _unit_centres(directions[rows], count, seed, max_iterations) if uncut is None else uncut
            nearest = (directions[rows] @ centres.T).argmax(axis=1)
            next_members += [rows[nearest == number] for number in range(count)]
            next_lineages += [[*lineage, centre] for centre in centres]
        members, lineages = next_members, next_lineages
    return [np.stack(level) for level in zip(*lineages, strict=True)]


def _unit_centres(directions: FloatArray, count: int, seed: int, max_iterations: int) -> FloatArray:
    centres = cluster_centres(directions, count, seed=seed, max_iterations=max_iterations)
    return np.asarray(centres / np.linalg.norm(centres, axis=1, keepdims=True), dtype=np.float32)


def _dealt(counts: Sequence[int], total: int) -> list[int]:
    """Shares of `total` in proportion to `counts`, at least one each, by highest averages (D'Hondt)."""
    weights, shares = np.asarray(counts, dtype=np.float64), np.ones(len(counts), dtype=np.int64)
    for _ in range(total - len(counts)):
        shares[(weights / (shares + 1)).argmax()] += 1
    return shares.tolist()


def principal_components(centred: FloatArray) -> FloatArray:
    """Orthonormal columns, by falling variance of (n, dim) float32; (dim, dim) float32."""
    moments = (centred.T @ centred).astype(np.float64) / len(centred)
    _, components = np.linalg.eigh(moments)
    components = components[:, ::-1]
    # An eigenvector's sign is the library's choice; this makes it ours.
    signs = np.sign(components[np.abs(components).argmax(axis=0), np.arange(components.shape[1])])
    return np.asarray(components * signs, dtype=np.float32)
