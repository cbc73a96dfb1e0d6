"""Cells of a knowledge base: one for each label, k-means cells for entries without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rx.kb.clusters import cluster_centres
from engines.models.arrays import FloatArray

__all__ = ["MOST_CLUSTER_CELLS", "MOST_LABEL_CELLS", "Cells", "cell_sums", "cells_of"]

MOST_LABEL_CELLS = 1024
"""Largest number of cells where some are labels."""
MOST_CLUSTER_CELLS = 5000
"""Largest number of cells where none is a label: a codebook of so many has just less than 1 MB."""

_ENTRIES_PER_CELL = 2
"""Entries of a k-means cell beside cells of labels, on average: a compromise.

One entry a cell suits images that are nearly entries, such as views of photographs. More suit others: where every
other label of flowers12 is removed, images without one have .22, .53, .62, .69 of their answers right at 64 symbols
and -7 dB with 1, 2, 4, 8 entries a cell, and images with a label .96 each time.
"""
_LEAST_ALIKE = 0.05
"""Share of a label's entries that are farther from its mean than an entry without a label may be to share its cell.

Small, so that most entries of the label's kind share it. With labels on half of the entries, at 16 symbols and -7
dB, .60, .70, .55 of the answers are right on digits, flowers12 and CIFAR-10's test images; without sharing .59,
.64, .51. At 10 dB sharing costs digits five points (.79 in place of .84), and the others none.
"""
_BLOCK = 8192
"""Vectors that are sorted by cell, or compared with all cells, at a time."""

CellIds = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cells:
    """A partition of a knowledge base's entries.

    Attributes
    ----------
    of_entries : (entries,) int64, cell of each entry
    labels : label of each cell; "" for a k-means cell
    """

    of_entries: CellIds
    labels: tuple[str, ...]

    @property
    def num_cells(self) -> int:
        """Number of cells; each has at least one entry."""
        return len(self.labels)

    @property
    def are_labels(self) -> bool:
        """Whether every cell is the entries of one label."""
        return all(self.labels)

    def counts(self) -> CellIds:
        """Number of entries of each cell, (cells,)."""
        return np.bincount(self.of_entries, minlength=self.num_cells)

    def means(self, vectors: FloatArray) -> FloatArray:
        """Mean of the vectors (entries, dim) of each cell, (cells, dim) float32."""
        sums = cell_sums(vectors, self.of_entries, self.num_cells)
        return np.asarray(sums / self.counts()[:, None], dtype=np.float32)


def cell_sums(vectors: FloatArray, of_entries: CellIds, num_cells: int) -> npt.NDArray[np.float64]:
    """Sum of the vectors (entries, dim) of each cell, (num_cells, dim) float64."""
    sums = np.zeros((num_cells, vectors.shape[1]))
    for start in range(0, len(vectors), _BLOCK):
        cells = of_entries[start : start + _BLOCK]
        order = np.argsort(cells, kind="stable")
        present, starts = np.unique(cells[order], return_index=True)
        sums[present] += np.add.reduceat(vectors[start : start + _BLOCK][order], starts, axis=0, dtype=np.float64)
    return sums


def cells_of(
    directions: FloatArray, labels: Sequence[str], *, most: int = MOST_LABEL_CELLS, seed: int = 0, num_threads: int = 1
) -> Cells:
    """Divide entries into cells.

    Parameters
    ----------
    directions : (entries, feature_dim) float32, unit length
    labels : label of each entry, "" without one; k-means is used for all entries if there are more than `most` labels.
        An entry without a label that is like those of a label shares their cell, because cells of its own among them
        would take images from it
    most : largest number of cells
    seed : of k-means

    Returns
    -------
    cells : labels first, in alphabetical order
    """
    names = sorted({label for label in labels if label})
    if len(names) > most:
        names = []
    number = {name: cell for cell, name in enumerate(names)}
    of_entries = np.array([number.get(label, -1) for label in labels], np.int64)
    if names:
        of_entries = _with_alike(directions, of_entries, len(names))
    unlabelled = np.flatnonzero(of_entries < 0)
    if not len(unlabelled):
        return Cells(of_entries, tuple(names))
    # Without labels an entry has a cell of its own where there is room: what is sent may be one of them.
    wanted = min(max(1, len(unlabelled) // _ENTRIES_PER_CELL) if names else len(unlabelled), most - len(names))
    if wanted < 1:  # labels take all cells
        return cells_of(directions, [""] * len(labels), most=most, seed=seed, num_threads=num_threads)
    centres = cluster_centres(directions[unlabelled], wanted, seed=seed, num_threads=num_threads)
    nearest = _nearest(directions[unlabelled], centres)[0]
    _, of_entries[unlabelled] = np.unique(nearest, return_inverse=True)
    of_entries[unlabelled] += len(names)
    return Cells(of_entries, (*names, *[""] * (int(of_entries.max()) + 1 - len(names))))


def _with_alike(directions: FloatArray, of_entries: CellIds, num_labels: int) -> CellIds:
    """Cells of labels, also for the entries without a label (-1) that are as near to a label's mean as its own are."""
    labelled, unlabelled = np.flatnonzero(of_entries >= 0), np.flatnonzero(of_entries < 0)
    if not len(unlabelled):
        return of_entries
    means = Cells(of_entries[labelled], ("",) * num_labels).means(directions[labelled])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    own = np.sum(directions[labelled] * means[of_entries[labelled]], axis=1)
    least = np.array([np.quantile(own[of_entries[labelled] == cell], _LEAST_ALIKE) for cell in range(num_labels)])
    nearest, similarity = _nearest(directions[unlabelled], means)
    is_alike = similarity >= least[nearest]
    result = of_entries.copy()
    result[unlabelled[is_alike]] = nearest[is_alike]
    return result


def _nearest(vectors: FloatArray, centres: FloatArray) -> tuple[CellIds, FloatArray]:
    """Number of the centre with the largest inner product with each vector, and that product; both (n,)."""
    nearest, products = np.empty(len(vectors), np.int64), np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        found = vectors[start : start + _BLOCK] @ centres.T
        nearest[start : start + _BLOCK] = found.argmax(axis=1)
        products[start : start + _BLOCK] = found.max(axis=1)
    return nearest, products
