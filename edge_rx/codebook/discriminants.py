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
from edge_rx.folds import block_folds
from engines.models.arrays import FloatArray

__all__ = [
    "SHRINKAGES",
    "Discriminants",
    "fit_discriminants",
    "nearest_centroids",
    "nearest_entries",
    "neighbour_share",
]

SHRINKAGES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of the identity in the covariance that cross-validation chooses from."""
_NUM_FOLDS = 5
_MOST_TESTED = 4096
"""Entries of a fold that are decided, which bounds the time of the choice for large knowledge bases."""
_MOST_COMPARED = 512
"""Entries that are compared with all others."""
_PSEUDO_COUNT = 5
"""Decisions at the accuracy of all cells that are added to each cell's own."""
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
    shrinkage : share of the identity in the covariance; 1 where it is decided without one
    accuracies : (cells,) float32, share of an image's decisions for a cell that are right, by cross-validation, 0..1,
        less one standard error over the folds, by which images to come may differ from the entries as folds do; 1
        where no entry can be left out
    """

    centroids: FloatArray
    offsets: FloatArray
    shrinkage: float
    accuracies: FloatArray


def nearest_centroids(directions: FloatArray, cells: Cells) -> Discriminants:
    """The nearest mean direction decides."""
    means = cells.means(directions)
    centroids = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return Discriminants(centroids, np.zeros(len(means), np.float32), 1.0, np.ones(len(means), np.float32))


def nearest_entries(features: FloatArray, mean: FloatArray, cells: Cells) -> Discriminants:
    """The cell whose entries have the largest mean cosine with an image's feature decides.

    A feature f of direction d has with an entry e, but for a term without e, the inner product

        |f - mean| d . (e - mean) + mean . e

    where the length of f - mean is taken to be that of the entries. So a cell of one entry is decided where a search
    among features finds that entry.

    Parameters
    ----------
    features : (entries, dim) float32, unit length
    mean : (dim,) float32
    """
    mean_length = max(float(np.linalg.norm(features - mean, axis=1).mean()), _FLOOR)
    means = cells.means(features)
    offsets = means @ mean / mean_length
    # A constant changes no decision, and small numbers suit fp16.
    return Discriminants(means - mean, offsets - offsets.mean(), 1.0, np.ones(len(means), np.float32))


def neighbour_share(features: FloatArray, points: FloatArray, cells: Cells, found: Discriminants) -> float:
    """Share of entries for which, without their own, the cell of the nearest entry is decided, 0..1; 1 for one cell.

    Parameters
    ----------
    features : (entries, dim) float32, unit length
    points : (entries, ...) float32, unit length, of which cells are decided
    """
    tested = np.arange(0, len(features), -(-len(features) // _MOST_COMPARED))
    similarity = features[tested] @ features.T
    similarity[np.arange(len(tested)), tested] = -np.inf
    scores = points[tested] @ found.centroids.T + found.offsets
    is_alone = cells.counts()[cells.of_entries[tested]] == 1
    scores[is_alone, cells.of_entries[tested[is_alone]]] = -np.inf
    is_right = scores.argmax(axis=1) == cells.of_entries[similarity.argmax(axis=1)]
    return float(is_right.mean()) if cells.num_cells > 1 else 1.0


def fit_discriminants(directions: FloatArray, cells: Cells) -> Discriminants:
    """Fit to the entries of a knowledge base.

    Parameters
    ----------
    directions : (entries, dim) float32, unit length
    """
    means = cells.means(directions)
    moments = _Moments.of(directions, means, cells.of_entries)
    decided = _left_out_decisions(directions, cells, moments)
    # The shrinkage with the fewest errors; the largest of equally good ones.
    best = int(np.flatnonzero((num_correct := decided.num_correct()) == num_correct.max())[-1])
    centroids, offsets = moments.normal_cells().discriminants(SHRINKAGES[best])
    # A common factor changes no decision, and keeps the numbers in the range of fp16.
    scale = max(np.float32(np.abs(centroids).max()), np.finfo(np.float32).tiny)
    return Discriminants(
        centroids / scale, offsets / scale, SHRINKAGES[best], decided.accuracies(best, cells.num_cells)
    )


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


@dataclass(frozen=True, eq=False)
class _Decisions:
    """Decisions for entries that were left out of what decided, and whose cell kept an entry.

    Attributes
    ----------
    cells : (n,) int64, the entries' cells
    decided : (n, len(SHRINKAGES)) int64, the cells decided with each shrinkage
    folds : (n,) int64, the fold that each entry was left out with
    """

    cells: npt.NDArray[np.int64]
    decided: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64]

    def num_correct(self) -> npt.NDArray[np.int64]:
        """Number of right decisions with each shrinkage."""
        return np.asarray((self.decided == self.cells[:, None]).sum(axis=0), dtype=np.int64)

    def accuracies(self, shrinkage: int, num_cells: int) -> FloatArray:
        """Share of right decisions for each cell with a shrinkage, by its number; few are drawn to those of all."""
        if not len(self.cells):
            return np.ones(num_cells, np.float32)
        decided = self.decided[:, shrinkage]
        is_right = decided == self.cells
        num_right = np.bincount(decided[is_right], minlength=num_cells)
        num_decided = np.bincount(decided, minlength=num_cells)
        shares = (num_right + _PSEUDO_COUNT * is_right.mean()) / (num_decided + _PSEUDO_COUNT)
        of_folds = np.array([is_right[self.folds == fold].mean() for fold in np.unique(self.folds)])
        standard_error = of_folds.std(ddof=1) / len(of_folds) ** 0.5 if len(of_folds) > 1 else 0.0
        # No decision is worse than chance; few entries may all be decided wrongly.
        return np.asarray(np.maximum(shares - standard_error, 1.0 / num_cells), dtype=np.float32)


def _left_out_decisions(directions: FloatArray, cells: Cells, moments: _Moments) -> _Decisions:
    folds = block_folds(cells.of_entries, _NUM_FOLDS)
    of_entries: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    decided: list[npt.NDArray[np.int64]] = [np.empty((0, len(SHRINKAGES)), np.int64)]
    tested_folds: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    for fold in range(_NUM_FOLDS):
        left_out = np.flatnonzero(folds == fold)
        if not 0 < len(left_out) < len(directions):
            continue
        rest = moments.without(_Moments.of(directions[left_out], moments.means, cells.of_entries[left_out]))
        tested = left_out[:: -(-len(left_out) // _MOST_TESTED)]
        tested = tested[rest.counts[cells.of_entries[tested]] > 0]
        normal_cells = rest.normal_cells()
        rotated = directions[tested] @ normal_cells.axes
        of_entries.append(cells.of_entries[tested])
        tested_folds.append(np.full(len(tested), fold))
        decided.append(np.stack([normal_cells.cells(rotated, shrinkage) for shrinkage in SHRINKAGES], axis=1))
    return _Decisions(np.concatenate(of_entries), np.concatenate(decided), np.concatenate(tested_folds))
