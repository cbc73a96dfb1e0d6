"""The analog part of a codebook: mean, principal components, and how alike entries of a cell are."""

from __future__ import annotations

import itertools

import numpy as np

from edge_rx.codebook.cells import Cells
from engines.models.arrays import FloatArray

__all__ = ["ANALOG_DIM", "agreement", "half_whitening", "mean_of", "unit"]

ANALOG_DIM = 96
"""Most principal components of the analog part, which repeats them: the strongest, which the first reals carry with
little power, come again before the end of 64 symbols."""
_WHITENING = -0.25
"""Exponent of a component's variance in its amplitude: half whitened, which is the best linear code in white noise."""
_MOST_PAIRS = 2048
_BLOCK = 8192


def mean_of(features: FloatArray) -> FloatArray:
    """The mean of the features; zero if one of them equals it, which then would have no direction."""
    mean = np.asarray(features.mean(axis=0, dtype=np.float64), dtype=np.float32)
    distances = np.linalg.norm(features - mean, axis=1)
    return mean if distances.min() > 1e-5 * np.linalg.norm(features, axis=1).max() else np.zeros_like(mean)


def unit(rows: FloatArray) -> FloatArray:
    """Rows (n, dim) of unit length; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)


def half_whitening(directions: FloatArray) -> FloatArray:
    """Principal components, (feature_dim, analog_dim), scaled to the mean power of a codeword over the first reals."""
    products = np.zeros((directions.shape[1],) * 2)
    for start in range(0, len(directions), _BLOCK):
        block = directions[start : start + _BLOCK]
        products += block.T @ block
    variances, axes = np.linalg.eigh(products / len(directions))
    strongest = np.argsort(-variances)[:ANALOG_DIM]
    kept = strongest[variances[strongest] > 1e-6 * variances.max()]
    projection = np.asarray(axes[:, kept] * variances[kept] ** _WHITENING, dtype=np.float32)
    # A real has a mean square of one half, as a codeword's has once the transmitter has normalised its power.
    power = np.square(directions @ projection).sum(axis=1).mean() / len(kept)
    return np.asarray(projection / np.sqrt(power), dtype=np.float32)


def agreement(analog: FloatArray, cells: Cells) -> float:
    """Median correlation of an entry's analog part with the most similar other one of its cell."""
    parts = unit(analog)
    order = np.argsort(cells.of_entries, kind="stable")
    starts = np.concatenate([[0], np.cumsum(cells.counts())])
    nearest: list[float] = []
    for start, end in itertools.pairwise(starts.tolist()):
        members = parts[order[start : min(end, start + _MOST_PAIRS)]]
        if len(members) < 2:
            continue
        products = members @ members.T
        np.fill_diagonal(products, -1.0)
        nearest += products.max(axis=1).tolist()
    return float(np.clip(np.median(nearest), 0.1, 0.95)) if nearest else 0.5
