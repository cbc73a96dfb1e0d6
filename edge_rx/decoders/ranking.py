"""Ranking of candidates: posterior probabilities, and the choice of the smallest expected loss.

The most likely candidate is not always the best answer: where noise leaves several about equally likely, an entry that
the others resemble costs less when it is wrong. So the candidates' entries are compared with each other, weighted by
their probabilities, and the one with the largest expected similarity is the answer (minimum Bayes risk; Kumar, Byrne,
"Minimum Bayes-risk decoding for statistical machine translation", 2004). Its gain and cost are measured:
docs/results.md, "Decision among the candidates".
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from edge_rx.kb.index import EntryIds
from engines.models.arrays import FloatArray
from semlink.iq import Symbols

__all__ = [
    "NUM_CANDIDATES",
    "RankedEntries",
    "SymbolSearch",
    "expected_similarity",
    "in_most_probable_group",
    "merge_entries",
    "probabilities",
]

NUM_CANDIDATES = 64
"""Hypotheses that the answer is chosen from; more of them, also at low SNR, do not improve the choice."""


class RankedEntries(NamedTuple):
    """Candidates for one image.

    Attributes
    ----------
    entries : (m,) int64, each once; the answer first
    probabilities : (m,) float32, posterior under the model with one variance for all signals, among these candidates
        alone and therefore not calibrated; they sum to 1
    confidence : of the answer, see `edge_rx.decoders.base.Candidate`
    """

    entries: EntryIds
    probabilities: npt.NDArray[np.float32]
    confidence: float


class SymbolSearch(Protocol):
    """A detector of knowledge base entries in received symbols."""

    def ranked(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> list[RankedEntries]:
        """Candidates for each image, best first: see `edge_rx.decoders.map_detector.MapDetector.ranked`."""
        ...


def probabilities(log_likelihoods: FloatArray) -> npt.NDArray[np.float32]:
    """Softmax of log-likelihoods (batch, m), at least one of which is finite; rows sum to 1."""
    weights = np.exp(log_likelihoods - log_likelihoods.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def expected_similarity(vectors: FloatArray, log_likelihoods: FloatArray) -> npt.NDArray[np.float32]:
    """Expected similarity of each candidate to the transmitted image, (batch, m), up to a factor.

    Parameters
    ----------
    vectors : (batch, m, dim) float32, vector of each candidate's entry
    log_likelihoods : (batch, m) float32, in any order
    """
    expected = probabilities(log_likelihoods)[:, None, :] @ vectors
    return np.asarray((vectors @ expected.swapaxes(1, 2))[:, :, 0], dtype=np.float32)


def in_most_probable_group(groups: npt.NDArray[np.int64], log_likelihoods: FloatArray) -> npt.NDArray[np.bool_]:
    """Which candidates are of the group that together is the most probable, (batch, m).

    Parameters
    ----------
    groups : (batch, m) int64, group of each candidate's entry, such as its label
    log_likelihoods : (batch, m) float32, largest first: of equally probable groups, the one of the first candidate
    """
    is_same = groups[:, :, None] == groups[:, None, :]
    group_probabilities = (is_same @ probabilities(log_likelihoods)[:, :, None])[:, :, 0]
    most_probable = np.take_along_axis(groups, group_probabilities.argmax(axis=1)[:, None], axis=1)
    return np.asarray(groups == most_probable)


def merge_entries(entries: EntryIds, weights: npt.NDArray[np.float32], confidence: float) -> RankedEntries:
    """Keep each entry once, at its first position, with the summed weight of its signals."""
    _, first, inverse = np.unique(entries, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return RankedEntries(entries[first[order]], np.bincount(inverse, weights)[order].astype(np.float32), confidence)
