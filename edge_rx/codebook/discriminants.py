"""Linear discriminants of cells: regularised discriminant analysis, its shrinkage chosen by cross-validation.

Directions of a cell are taken as normal with a mean of their own and one covariance for all cells, shrunk towards a
multiple of the identity. The log-posterior of a cell is then linear in the direction, so that a transmitter decides
with one matrix product.

Source: Friedman, "Regularized discriminant analysis", J. Am. Stat. Assoc. 84, 1989.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rx.codebook.cells import Cells, cell_sums
from engines.models.arrays import FloatArray

__all__ = ["Discriminants", "fit_discriminants", "nearest_centroids"]

SHRINKAGES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
_NUM_FOLDS = 5
_MOST_TESTED = 4096
"""Entries of a fold that are decided, which bounds the time of the choice for large knowledge bases."""
_BLOCK = 8192
_FLOOR = 1e-9
"""Least variance of a direction's reals, for cells of identical entries."""


@dataclass(frozen=True, eq=False)
class Discriminants:
    """Scores of cells: directions times centroids plus offsets; the cell is that of the largest.

    Attributes
    ----------
    centroids : (cells, dim) float32
    offsets : (cells,) float32
    shrinkage : share of the identity in the covariance; 1 if cells are those of the nearest centroid
    """

    centroids: FloatArray
    offsets: FloatArray
    shrinkage: float


def nearest_centroids(directions: FloatArray, cells: Cells) -> Discriminants:
    """The nearest mean direction decides."""
    means = cells.means(directions)
    centroids = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return Discriminants(centroids, np.zeros(cells.num_cells, np.float32), 1.0)


def fit_discriminants(directions: FloatArray, cells: Cells, *, seed: int = 0) -> Discriminants:
    """Fit to the entries of a knowledge base.

    Parameters
    ----------
    directions : (entries, dim) float32, unit length
    seed : of the cross-validation's folds
    """
    means = cells.means(directions)
    moments = _Moments.of(directions, means, cells.of_entries)
    shrinkage = _choose_shrinkage(directions, cells.of_entries, moments, seed=seed)
    centroids, offsets = moments.discriminants([shrinkage])[0]
    # A common factor changes no decision, and keeps the numbers in the range of fp16.
    scale = max(np.float32(np.abs(centroids).max()), np.finfo(np.float32).tiny)
    return Discriminants(centroids / scale, offsets / scale, shrinkage)


@dataclass(frozen=True, eq=False)
class _Moments:
    """Sums over deviations from the cells' means, from which those of a fold are subtracted.

    Deviations, because the difference of large sums would leave cells of almost identical entries rounding errors for
    a covariance.

    Attributes
    ----------
    means : (cells, dim) float32, of all entries
    products : (dim, dim) float64, sum of outer products of deviations
    sums : (cells, dim) float64, of deviations
    counts : (cells,) int64
    """

    means: FloatArray
    products: npt.NDArray[np.float64]
    sums: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, directions: FloatArray, means: FloatArray, of_entries: npt.NDArray[np.int64]) -> _Moments:
        num_cells, dim = means.shape
        products, sums = np.zeros((dim, dim)), np.zeros((num_cells, dim))
        for start in range(0, len(directions), _BLOCK):
            cells = of_entries[start : start + _BLOCK]
            deviations = directions[start : start + _BLOCK] - means[cells]
            products += deviations.T @ deviations
            sums += cell_sums(deviations, cells, num_cells)
        return cls(means, products, sums, np.bincount(of_entries, minlength=num_cells))

    def without(self, other: _Moments) -> _Moments:
        return _Moments(self.means, self.products - other.products, self.sums - other.sums, self.counts - other.counts)

    def discriminants(self, shrinkages: Sequence[float]) -> list[tuple[FloatArray, FloatArray]]:
        """Centroids and offsets for each shrinkage; cells without an entry have the offset -inf."""
        counts = np.maximum(self.counts, 1)[:, None]
        shifts = self.sums / counts
        degrees_of_freedom = max(1, self.counts.sum() - np.count_nonzero(self.counts))
        within = (self.products - (shifts * counts).T @ shifts) / degrees_of_freedom
        variances, axes = np.linalg.eigh(within)
        mean_variance = max(float(variances.mean()), _FLOOR)
        means = self.means + shifts
        rotated = means @ axes
        with np.errstate(divide="ignore"):
            log_shares = np.log(self.counts / max(1, self.counts.sum()))
        found = []
        for shrinkage in shrinkages:
            shrunk = (1.0 - shrinkage) * np.maximum(variances, 0.0) + shrinkage * mean_variance
            centroids = (rotated / shrunk) @ axes.T
            offsets = log_shares - (centroids * means).sum(axis=1) / 2
            found.append((centroids.astype(np.float32), offsets.astype(np.float32)))
        return found


def _choose_shrinkage(
    directions: FloatArray, of_entries: npt.NDArray[np.int64], moments: _Moments, *, seed: int
) -> float:
    """The shrinkage with the fewest errors on left-out folds; the largest of equally good ones.

    The errors are those of entries whose cell keeps an entry when they are left out.
    """
    num_correct = np.zeros(len(SHRINKAGES), np.int64)
    order = np.random.default_rng(seed).permutation(len(directions))
    for fold in range(_NUM_FOLDS):
        left_out = order[fold::_NUM_FOLDS]
        if not 0 < len(left_out) < len(directions):
            continue
        vectors, cells = directions[left_out], of_entries[left_out]
        rest = moments.without(_Moments.of(vectors, moments.means, cells))
        for at, (centroids, offsets) in enumerate(rest.discriminants(SHRINKAGES)):
            found = (vectors[:_MOST_TESTED] @ centroids.T + offsets).argmax(axis=1)
            num_correct[at] += np.count_nonzero(found == cells[:_MOST_TESTED])
    best = np.flatnonzero(num_correct == num_correct.max())[-1]
    return SHRINKAGES[int(best)]
