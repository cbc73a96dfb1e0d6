"""Folds of cross-validation are blocks."""

from __future__ import annotations

import numpy as np

from edge_rx.folds import block_folds


def test_folds_are_blocks_of_each_group() -> None:
    groups = np.array([0] * 10 + [1] * 5 + [0] * 10 + [2, 3])
    folds = block_folds(groups, 5)
    assert folds[groups == 0].tolist() == [fold for fold in range(5) for _ in range(4)]
    assert sorted(folds[groups == 1].tolist()) == [0, 1, 2, 3, 4]
    assert len(set(folds[-2:].tolist())) == 2, "entries alone in their groups are of different folds"
