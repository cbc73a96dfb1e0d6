"""Codewords of cells: signs, of which every prefix is a code.

Cells of labels need words that are far apart, whatever the prefix. Cells of k-means need words that are alike where the
cells are, so that a wrong decision is a similar cell.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray

__all__ = ["CODE_DIM", "separated_codewords", "similar_codewords"]

CODE_DIM = 512
"""Reals of a codeword; rates above 256 symbols repeat it."""

_SHARPNESS = 0.5
"""Weight of a pair of words in the choice of the next real: the exponential of this times their inner product."""
_LARGEST_DESCENT = 256
"""Number of cells up to which every sign is improved by itself; the time of it is their square."""
_MOST_PRODUCTS = 2**24
_MOST_CANDIDATES = 256
_NUM_SWEEPS = 3
_MOST_SEARCHES = 16
_MOST_PAIRS = 2**14
"""Pairs of words that all searches together may have, which bounds their time."""
_BOUND_LENGTHS = (8, 16, 32, 64)
_BOUND_NOISE = 20.0
"""Eight times the variance of a real's noise at -7 dB, for words of unit power."""


def separated_codewords(num_cells: int, *, seed: int = 0) -> npt.NDArray[np.int8]:
    """Words whose prefixes are far apart, (num_cells, CODE_DIM) int8: the best of several greedy searches."""
    rng = np.random.default_rng(seed)
    num_searches = int(np.clip(_MOST_PAIRS // num_cells**2, 1, _MOST_SEARCHES))
    return min((_search(num_cells, rng) for _ in range(num_searches)), key=_error_bound)


def _error_bound(words: npt.NDArray[np.int8]) -> float:
    """Log of the union bound on errors of prefixes at the lowest SNR, summed over prefixes (Bhattacharyya)."""
    bounds = []
    for length in _BOUND_LENGTHS:
        prefix = words[:, :length].astype(np.float32)
        distances = length - prefix @ prefix.T
        bounds.append(np.log(np.exp(-distances / _BOUND_NOISE)[~np.eye(len(words), dtype=bool)].sum() + 1e-30))
    return float(np.sum(bounds))


def _search(num_cells: int, rng: np.random.Generator) -> npt.NDArray[np.int8]:
    """Real by real: of random sign patterns over the cells, the one that separates best the pairs that are closest.

    The pattern is then improved sign by sign.
    """
    num_candidates = int(np.clip(_MOST_PRODUCTS // num_cells**2, 8, _MOST_CANDIDATES))
    words = np.empty((num_cells, CODE_DIM), np.int8)
    products = np.zeros((num_cells, num_cells), np.float32)
    for real in range(CODE_DIM):
        exponents = _SHARPNESS * products
        np.fill_diagonal(exponents, -np.inf)
        weights = np.exp(exponents - exponents.max()) if num_cells > 1 else np.zeros_like(exponents)
        candidates = np.where(rng.random((num_candidates, num_cells)) < 0.5, np.float32(1), np.float32(-1))
        chosen = candidates[((candidates @ weights) * candidates).sum(axis=1).argmin()]
        if num_cells <= _LARGEST_DESCENT:
            _descend(chosen, weights)
        words[:, real] = chosen
        products += np.outer(chosen, chosen)
    return words


def _descend(pattern: FloatArray, weights: FloatArray) -> None:
    """Flip each sign that is like those it should differ from, in place."""
    for _ in range(_NUM_SWEEPS):
        is_changed = False
        for cell, row in enumerate(weights):
            if float(row @ pattern) * pattern[cell] > 0:
                pattern[cell] = -pattern[cell]
                is_changed = True
        if not is_changed:
            return


def similar_codewords(centroids: FloatArray, *, seed: int = 0) -> npt.NDArray[np.int8]:
    """Words that are alike where centroids (cells, dim) are, (cells, CODE_DIM) int8: signs of random projections.

    Source: Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002.
    """
    rng = np.random.default_rng(seed)
    projected = (centroids - centroids.mean(axis=0)) @ rng.standard_normal((centroids.shape[1], CODE_DIM))
    return np.where(projected > 0, np.int8(1), np.int8(-1))
