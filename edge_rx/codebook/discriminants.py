"""Linear discriminants of cells: regularised discriminant analysis, its shrinkage chosen by cross-validation.

Directions of a cell are taken as normal with a mean of their own and one covariance for all cells, shrunk towards a
multiple of the identity. The log-posterior of a cell is then linear in the direction, so that a transmitter decides
with one matrix product.

Source: Friedman, "Regularized discriminant analysis", J. Am. Stat. Assoc. 84, 1989.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rx.codebook.cells import Cells, cell_sums
from engines.models.arrays import FloatArray

__all__ = ["SHRINKAGES", "Discriminants", "fit_discriminants", "nearest_centroids"]

SHRINKAGES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of the identity in the covariance that cross-validation chooses from."""
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
    centroids, offsets = moments.normal_cells().discriminants(shrinkage)
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

    def normal_cells(self) -> _NormalCells:
        """Means, shares and covariance of the entries."""
        counts = np.maximum(self.counts, 1)[:, None]
        shifts = self.sums / counts
        degrees_of_freedom = max(1, self.counts.sum() - np.count_nonzero(self.counts))
        variances, axes = np.linalg.eigh((self.products - (shifts * counts).T @ shifts) / degrees_of_freedom)
        with np.errstate(divide="ignore"):
            log_shares = np.log(self.counts / max(1, self.counts.sum()))
        axes = axes.astype(np.float32)
        return _NormalCells(axes, (self.means + shifts.astype(np.float32)) @ axes, variances, log_shares)


@dataclass(frozen=True, eq=False)
class _NormalCells:
    """Normal distributions of cells with one covariance, in the coordinates of its eigenvectors.

    Attributes
    ----------
    axes : (dim, dim) float32, eigenvectors in columns
    means : (cells, dim) float32, rotated
    variances : (dim,) float64, eigenvalues
    log_shares : (cells,) float64, log of each cell's share of the entries; -inf for a cell without one
    """

    axes: FloatArray
    means: FloatArray
    variances: npt.NDArray[np.float64]
    log_shares: npt.NDArray[np.float64]

    def discriminants(self, shrinkage: float) -> tuple[FloatArray, FloatArray]:
        """Centroids and offsets in the coordinates of directions."""
        weights, offsets = self._weights(shrinkage)
        return weights @ self.axes.T, offsets

    def cells(self, rotated: FloatArray, shrinkage: float) -> npt.NDArray[np.int64]:
        """The most probable cell of directions (n, dim) that are rotated too."""
        weights, offsets = self._weights(shrinkage)
        return np.asarray((rotated @ weights.T + offsets).argmax(axis=1), dtype=np.int64)

    def _weights(self, shrinkage: float) -> tuple[FloatArray, FloatArray]:
        mean_variance = max(float(self.variances.mean()), _FLOOR)
        shrunk = (1.0 - shrinkage) * np.maximum(self.variances, 0.0) + shrinkage * mean_variance
        weights = self.means / shrunk
        offsets = self.log_shares - (weights * self.means).sum(axis=1) / 2
        return weights.astype(np.float32), offsets.astype(np.float32)


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
        rest = moments.without(_Moments.of(vectors, moments.means, cells)).normal_cells()
        rotated = vectors[:_MOST_TESTED] @ rest.axes
        num_correct += [
            np.count_nonzero(rest.cells(rotated, shrinkage) == cells[:_MOST_TESTED]) for shrinkage in SHRINKAGES
        ]
    best = np.flatnonzero(num_correct == num_correct.max())[-1]
    return SHRINKAGES[int(best)]
