"""MAP detection over the KB's signals, then a minimum-Bayes-risk choice among the candidates.

The receiver encodes its own entries with the transmitter's code and keeps the noise-free signals. The observation is
compared with them, and the search for the largest log-likelihoods is the detector: one inner product per signal, one
FAISS call.

    log p(y | s) = (y . s - |s|^2 / 2) / v + log prior(s)

v is one variance for all signals, so that the search stays an inner product: that of an image outside the code's
cells, whose signal is its analog part alone. A codeword leaves less unexplained, so at high SNR its likelihood is
underestimated. The log prior is one more coordinate, so that the noise variance of each image scales it without a
change to the signals.

Source: Proakis, Salehi, "Digital Communications", 5th ed., section 4.1 (MAP and matched-filter detection).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.base import check_symbols
from edge_rx.decoders.ranking import (
    NUM_CANDIDATES,
    RankedEntries,
    expected_similarity,
    in_most_probable_group,
    merge_entries,
    probabilities,
)
from edge_rx.decoders.templates import SignalTemplates
from edge_rx.kb.gpu_search import GpuSearch
from edge_rx.kb.index import InnerProductIndex
from engines.models.arrays import FloatArray
from engines.models.codebook import repeat
from semlink.iq import Symbols, unpair_symbols
from semlink.rates import Rate

__all__ = ["MapDetector", "check_symbols"]

_IMAGES_AT_A_TIME = 256
"""Images whose candidates are in memory together, 128 KB each."""


class MapDetector:
    """Detector among the signals of one knowledge base at one rate.

    Parameters
    ----------
    templates : signals of the knowledge base's entries
    rate : number of symbols
    num_threads : CPU threads of a search
    gpu : GPU that holds the signals and searches; None for the CPU
    num_candidates : most likely hypotheses that the answer is chosen from; 1 answers with the most likely one
    """

    def __init__(
        self,
        templates: SignalTemplates,
        rate: Rate,
        *,
        num_threads: int = 1,
        gpu: GpuSearch | None = None,
        num_candidates: int = NUM_CANDIDATES,
    ) -> None:
        self._num_candidates = num_candidates
        # Not the templates themselves, whose signals at the longest rate would stay in memory.
        self._entries, self._similarity = templates.entries, templates.similarity
        self._log_priors = templates.log_priors
        self._vectors, self._groups = templates.vectors, templates.groups
        self._dim, self._num_repeats = _reals_and_repetitions(rate, templates.signals.shape[1])
        # Repetitions are stored only for rates that are not a whole number of them.
        longest = templates.signals if self._dim <= templates.signals.shape[1] else repeat(templates.signals)
        self._unexplained = templates.unexplained(self._dim)
        signals = _unit_power(longest[:, : self._dim]) * templates.scale(self._dim)[:, None]
        self._half_energy = np.sum(signals**2, axis=1) / 2
        vectors = np.column_stack([signals, self._half_energy, templates.log_priors]).astype(np.float32)
        self._index = InnerProductIndex(vectors, num_threads=num_threads, gpu=gpu)

    @classmethod
    def of_rates(
        cls, templates: SignalTemplates, rates: Sequence[Rate], *, num_threads: int = 1, gpu: GpuSearch | None = None
    ) -> dict[Rate, MapDetector]:
        """One detector for each rate; rates that repeat the same code share its signals."""
        detectors: dict[Rate, MapDetector] = {}
        by_dim: dict[int, MapDetector] = {}
        for rate in rates:
            dim, num_repeats = _reals_and_repetitions(rate, templates.signals.shape[1])
            if dim not in by_dim:
                by_dim[dim] = cls(templates, rate, num_threads=num_threads, gpu=gpu)
            detectors[rate] = by_dim[dim]._with_repeats(num_repeats)
        return detectors

    def _with_repeats(self, num_repeats: int) -> MapDetector:
        """The same signals for a rate that repeats them."""
        other = copy(self)
        other._num_repeats = num_repeats
        return other

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> FloatArray:
        """Vectors to search with, (batch, dim + 2) float32: the reals, -1 for the energy, the variance for the prior.

        Parameters
        ----------
        symbols : (batch, n) complex64, equalised
        noise_variance : (batch,) N0 of those symbols

        Raises
        ------
        DecodeError
            If the number of symbols does not fit the rate, or a number is not finite.
        """
        check_symbols(symbols, noise_variance, num_reals=self._num_repeats * self._dim)
        received = unpair_symbols(symbols).reshape(len(symbols), self._num_repeats, self._dim).mean(axis=1)
        # Per real: half the noise variance, reduced by averaging repeats, plus what a signal leaves unexplained.
        variance = np.asarray(noise_variance) / 2 / self._num_repeats + self._unexplained
        return np.column_stack([received, np.full_like(variance, -1.0), variance]).astype(np.float32)

    def top_hypotheses(self, queries: FloatArray, *, num_matches: int) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """The most likely signals for each query, best first, with log-likelihoods up to a constant of the image.

        Returns
        -------
        signal_ids : (batch, m) int64, rows of the templates, several of which may belong to one entry
        log_likelihoods : (batch, m) float32
        """
        signal_ids, products = self._index.search(queries, num_matches=num_matches)
        return signal_ids, np.asarray(products / queries[:, -1:], dtype=np.float32)

    def ranked(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> list[RankedEntries]:
        """Candidates of each image by falling expected similarity; the first is the answer of `match`."""
        queries = self.queries(symbols, noise_variance)
        ranked: list[RankedEntries] = []
        for start in range(0, len(queries), _IMAGES_AT_A_TIME):
            signal_ids, log_likelihoods = self.top_hypotheses(
                queries[start : start + _IMAGES_AT_A_TIME], num_matches=self._num_candidates
            )
            order = np.argsort(-self._preference(signal_ids, log_likelihoods), axis=1, kind="stable")
            entries = self._entries[np.take_along_axis(signal_ids, order, axis=1)]
            weights = np.take_along_axis(probabilities(log_likelihoods), order, axis=1)
            ranked += map(merge_entries, entries, weights)
        return ranked

    def match(self, queries: FloatArray) -> list[tuple[int, float]]:
        """The entry with the largest expected similarity for each image, and its score.

        Parameters
        ----------
        queries : (batch, dim + 2) float32, of `queries`; the candidates of each take 128 KB

        Returns
        -------
        entry_id, score : the score estimates the cosine of the two images' centred features, -1 .. 1: the
            correlation of observation and signal, which have known power, times the similarity of entry and signal
        """
        signal_ids, log_likelihoods = self.top_hypotheses(queries, num_matches=self._num_candidates)
        columns = self._preference(signal_ids, log_likelihoods).argmax(axis=1).tolist()
        chosen = enumerate(columns)
        return [
            self._scored(int(signal_ids[at]), float(log_likelihoods[at]), float(queries[at[0], -1])) for at in chosen
        ]

    def _scored(self, signal_id: int, log_likelihood: float, variance: float) -> tuple[int, float]:
        """A signal's entry and score, in plain floats, because there is mostly one image."""
        half_energy = float(self._half_energy[signal_id])
        product = variance * (log_likelihood - float(self._log_priors[signal_id])) + half_energy
        correlation = product / math.sqrt(half_energy * self._dim)
        similarity = float(self._similarity[signal_id])
        return int(self._entries[signal_id]), min(1.0, max(-1.0, correlation)) * similarity

    def _preference(self, signal_ids: npt.NDArray[np.int64], log_likelihoods: FloatArray) -> FloatArray:
        """Expected similarity of each candidate's entry; entries outside the most probable group come last."""
        entries = self._entries[signal_ids]
        if self._groups is None:
            return expected_similarity(self._vectors[entries], log_likelihoods)
        is_preferred = in_most_probable_group(self._groups[entries], log_likelihoods)
        within = np.where(is_preferred, log_likelihoods, -np.inf)
        similarity = expected_similarity(self._vectors[entries], within)
        # Vectors have bounded lengths, so that this separates the two kinds.
        return np.where(is_preferred, similarity, similarity - 2.0 * np.abs(similarity).max() - 1.0)


def _reals_and_repetitions(rate: Rate, feature_dim: int) -> tuple[int, int]:
    """Reals of a rate's signals, and their number of repetitions, if that is a whole number: they are averaged."""
    repeats, rest = divmod(rate.latent_dim, feature_dim)
    return (feature_dim, repeats) if repeats and not rest else (rate.latent_dim, 1)


def _unit_power(prefix: FloatArray) -> FloatArray:
    """Normalise as the transmitter does: mean |x|^2 = 1, half of it in each real."""
    lengths = np.linalg.norm(prefix, axis=1, keepdims=True)
    return np.asarray(prefix * np.sqrt(prefix.shape[1] / 2) / np.maximum(lengths, np.finfo(np.float32).tiny))
