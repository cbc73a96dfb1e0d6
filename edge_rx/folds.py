"""Folds of cross-validation over a knowledge base's entries: blocks of consecutive entries of each label or cell.

Neighbours in a folder are often of one scene, one camera or one writer, and random folds would take their likeness for
that of images to come.

Source: Roberts et al., "Cross-validation strategies for data with temporal, spatial, hierarchical, or phylogenetic
structure", Ecography 40, 2017.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["block_folds"]


def block_folds(groups: npt.NDArray[np.int64], num_folds: int) -> npt.NDArray[np.int64]:
    """The fold of each entry, (entries,) int64: blocks of consecutive entries of each group, of about equal sizes.

    Parameters
    ----------
    groups : (entries,) int64, group of each entry, from 0 on
    """
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    # Groups begin with different folds, or all entries that are alone in their group would be of the first.
    return np.asarray((rank * num_folds // counts[groups] + groups) % num_folds, dtype=np.int64)
