"""The cells of a codebook that a knowledge base's entries are in: those it was made of, or those that came since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook, label_hashes

__all__ = ["EntryCells", "entry_cells"]

_BLOCK = 4096
"""Entries that are compared with all cells at a time."""


class EntryCells(NamedTuple):
    """Cells of entries.

    Attributes
    ----------
    coded : (entries,) int64, cell whose codeword an entry's signal has
    answered : (entries,) int64, cell for which the entry is an answer; -1 for none
    """

    coded: npt.NDArray[np.int64]
    answered: npt.NDArray[np.int64]


def entry_cells(codebook: KnowledgeBaseCodebook, features: FloatArray, labels: Sequence[str]) -> EntryCells:
    """Find the cell of each entry.

    An entry's cell is that of its label. An entry without a label, or with one that has no cell, has the cell of its
    features, as a transmitter would decide it; it is an answer for a label's cell only where the knowledge base has no
    entry of that label.

    Parameters
    ----------
    features : (entries, feature_dim) float32
    labels : label of each entry, "" without one
    """
    hashes = label_hashes(labels)
    cell_of_label = {label: cell for cell, label in enumerate(codebook.cell_labels.tolist()) if label}
    cells = np.array([cell_of_label.get(label, -1) for label in hashes.tolist()], np.int64)
    unknown = np.flatnonzero(cells < 0)
    for start in range(0, len(unknown), _BLOCK):
        block = unknown[start : start + _BLOCK]
        cells[block] = codebook.code.cells(codebook.code.directions(features[block]))
    is_own = hashes == codebook.cell_labels[cells]
    has_own = np.bincount(cells[is_own], minlength=len(codebook.cell_labels)) > 0
    return EntryCells(cells, np.where(is_own | ~has_own[cells], cells, -1))
