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

from edge_rx.codebook.cells import Cells
from engines.models.arrays import FloatArray

__all__ = ["Discriminants", "fit_discriminants", "nearest_centroids"]

SHRINKAGES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
_NUM_FOLDS = 5
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
    moments = _Moments.of(directions, cells.of_entries, cells.num_cells)
    shrinkage = _choose_shrinkage(directions, cells, moments, seed=seed)
    centroids, offsets = moments.discriminants([shrinkage])[0]
    # A common factor changes no decision, and keeps the numbers in the range of fp16.
    scale = np.float32(np.abs(centroids).max())
    return Discriminants(centroids / scale, offsets / scale, shrinkage)


@dataclass(frozen=True, eq=False)
class _Moments:
    """Sums over entries, from which those of a fold are subtracted.

    Attributes
    ----------
    products : (dim, dim) float64, sum of outer products
    sums : (cells, dim) float64
    counts : (cells,) int64
    """

    products: npt.NDArray[np.float64]
    sums: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, directions: FloatArray, of_entries: npt.NDArray[np.int64], num_cells: int) -> _Moments:
        dim = directions.shape[1]
        products, sums = np.zeros((dim, dim)), np.zeros((num_cells, dim))
        for start in range(0, len(directions), _BLOCK):
            block = directions[start : start + _BLOCK]
            products += block.T @ block
            np.add.at(sums, of_entries[start : start + _BLOCK], block)
        return cls(products, sums, np.bincount(of_entries, minlength=num_cells))

    def without(self, other: _Moments) -> _Moments:
        return _Moments(self.products - other.products, self.sums - other.sums, self.counts - other.counts)

    def discriminants(self, shrinkages: list[float]) -> list[tuple[FloatArray, FloatArray]]:
        """Centroids and offsets for each shrinkage; cells without an entry have the offset -inf."""
        counts = np.maximum(self.counts, 1)[:, None]
        means = self.sums / counts
        within = (self.products - (means * counts).T @ means) / max(
            1, self.counts.sum() - np.count_nonzero(self.counts)
        )
        variances, axes = np.linalg.eigh(within)
        mean_variance = max(float(variances.mean()), _FLOOR)
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


def _choose_shrinkage(directions: FloatArray, cells: Cells, moments: _Moments, *, seed: int) -> float:
    """The shrinkage with the fewest errors on left-out folds; the largest of equally good ones.

    The errors are those of entries whose cell keeps an entry when they are left out.
    """
    fold_of_entry = np.random.default_rng(seed).permutation(len(directions)) % _NUM_FOLDS
    num_correct = np.zeros(len(SHRINKAGES), np.int64)
    for fold in range(_NUM_FOLDS):
        left_out = np.flatnonzero(fold_of_entry == fold)
        if not 0 < len(left_out) < len(directions):
            continue
        vectors, of_entries = directions[left_out], cells.of_entries[left_out]
        rest = moments.without(_Moments.of(vectors, of_entries, cells.num_cells))
        for at, (centroids, offsets) in enumerate(rest.discriminants(list(SHRINKAGES))):
            num_correct[at] += np.count_nonzero((vectors @ centroids.T + offsets).argmax(axis=1) == of_entries)
    best = np.flatnonzero(num_correct == num_correct.max())[-1]
    return SHRINKAGES[int(best)]
