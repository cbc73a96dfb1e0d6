"""How often an image has the label of the entry that is nearest to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_rx.decoders.label_detector import label_groups
from edge_rx.folds import block_folds
from engines.models.arrays import FloatArray

__all__ = ["neighbour_accuracies"]

_NUM_FOLDS = 5
_MOST_TESTED = 400
"""Left-out entries of a fold that are tested."""
_MOST_KEPT = 65_536
"""Entries that they are compared with, drawn evenly from a larger knowledge base, which makes it look a bit worse."""
_PSEUDO_COUNT = 5
"""Answers at the accuracy of all labels that are added to each label's own."""


def neighbour_accuracies(vectors: FloatArray, labels: Sequence[str]) -> FloatArray:
    """Probability that an image has the label of its nearest entry, (entries,) float32 for each nearest entry.

    By cross-validation among the entries that share their label with others; 1 if there are none, and for an entry
    without a label, which is right if it is the nearest.

    Parameters
    ----------
    vectors : (entries, dim) float32, of any length
    labels : label of each entry, "" without one
    """
    groups = label_groups(labels)
    if groups is None:
        return np.ones(len(vectors), np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    features = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    folds, counts = block_folds(groups, _NUM_FOLDS), np.bincount(groups)
    answered, is_right = [np.empty(0, np.int64)], [np.empty(0, np.bool_)]
    for fold in range(_NUM_FOLDS):
        kept, tested = np.flatnonzero(folds != fold), np.flatnonzero((folds == fold) & (counts[groups] > 1))
        if not len(kept) or not len(tested):
            continue
        tested = tested[:: -(-len(tested) // _MOST_TESTED)]
        kept = kept[:: -(-len(kept) // _MOST_KEPT)]
        nearest = groups[kept[(features[tested] @ features[kept].T).argmax(axis=1)]]
        answered.append(nearest)
        is_right.append(nearest == groups[tested])
    answers, right = np.concatenate(answered), np.concatenate(is_right)
    if not len(answers):
        return np.ones(len(features), np.float32)
    num_right = np.bincount(answers[right], minlength=len(counts)) + _PSEUDO_COUNT * right.mean()
    accuracies = num_right / (np.bincount(answers, minlength=len(counts)) + _PSEUDO_COUNT)
    has_label = np.array([bool(label) for label in labels])
    return np.where(has_label, accuracies[groups], 1.0).astype(np.float32)
