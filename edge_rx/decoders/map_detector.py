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
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.base import Candidate
from edge_rx.decoders.entry_calibration import EntryCalibration, Scales
from edge_rx.decoders.options import Answer
from edge_rx.decoders.ranking import (
    NUM_CANDIDATES,
    RankedEntries,
    expected_similarity,
    in_most_probable_group,
    merge_entries,
    probabilities,
)
from edge_rx.decoders.rate_signals import RateSignals, observed, reals_and_repetitions
from edge_rx.decoders.templates import SignalTemplates
from edge_rx.decoders.total_probability import SignalSample, log_sum
from edge_rx.kb.gpu_search import GpuSearch
from edge_rx.kb.index import InnerProductIndex
from engines.models.arrays import FloatArray
from semlink.iq import Symbols
from semlink.rates import Rate

__all__ = ["MapDetector"]

_IMAGES_AT_A_TIME = 256
"""Images whose candidates are in memory together, 128 KB each."""


@dataclass(frozen=True, eq=False)
class _Hypotheses:
    """The most likely signals for each image, best first, and those of the sample.

    Attributes
    ----------
    signal_ids : (batch, m) int64, rows of the templates, several of which may belong to one entry
    log_likelihoods : (batch, m) float32, up to a constant of the image
    sampled : (batch, k) float32, log-likelihoods of the sample
    variance : (batch,) float32, of each real
    """

    signal_ids: npt.NDArray[np.int64]
    log_likelihoods: FloatArray
    sampled: FloatArray
    variance: FloatArray


class MapDetector:
    """Detector among the signals of one knowledge base at one rate.

    Parameters
    ----------
    templates : signals of the knowledge base's entries
    rate : number of symbols
    answer : "label" answers with an entry of the most probable group, where templates have groups
    accuracies : (entries,) float32, probability that an answer is right if it is received as the transmitter decided
        it, 0..1; None for 1
    calibration : entries that calibrate confidences; None takes shares of likelihoods for probabilities
    num_threads : CPU threads of a search
    gpu : GPU that holds the signals and searches; None for the CPU
    num_candidates : most likely hypotheses that the answer is chosen from; 1 answers with the most likely one
    """

    def __init__(
        self,
        templates: SignalTemplates,
        rate: Rate,
        *,
        answer: Answer = "label",
        accuracies: FloatArray | None = None,
        calibration: EntryCalibration | None = None,
        num_threads: int = 1,
        gpu: GpuSearch | None = None,
        num_candidates: int = NUM_CANDIDATES,
    ) -> None:
        self._num_candidates, self._answer = num_candidates, answer
        self._accuracies, self._calibration = accuracies, calibration
        # Not the templates themselves, whose signals at the longest rate would stay in memory.
        self._entries, self._similarity = templates.entries, templates.similarity
        self._log_priors = templates.log_priors
        self._vectors, self._groups = templates.vectors, templates.groups
        signals = RateSignals(templates, rate)
        self._dim, self._num_repeats = signals.dim, signals.num_repeats
        self._unexplained, self._half_energy = signals.unexplained, signals.half_energy
        vectors = np.column_stack([signals.signals(), self._half_energy, templates.log_priors]).astype(np.float32)
        self._sample = SignalSample(vectors)
        self._index = InnerProductIndex(vectors, num_threads=num_threads, gpu=gpu)

    @classmethod
    def of_rates(
        cls,
        templates: SignalTemplates,
        rates: Sequence[Rate],
        *,
        answer: Answer = "label",
        accuracies: FloatArray | None = None,
        calibration: EntryCalibration | None = None,
        num_threads: int = 1,
        gpu: GpuSearch | None = None,
    ) -> dict[Rate, MapDetector]:
        """One detector for each rate; rates that repeat the same code share its signals."""
        detectors: dict[Rate, MapDetector] = {}
        by_dim: dict[int, MapDetector] = {}
        for rate in rates:
            dim, num_repeats = reals_and_repetitions(rate, templates.signals.shape[1])
            if dim not in by_dim:
                by_dim[dim] = cls(
                    templates,
                    rate,
                    answer=answer,
                    accuracies=accuracies,
                    calibration=calibration,
                    num_threads=num_threads,
                    gpu=gpu,
                )
            detectors[rate] = by_dim[dim]._with_repeats(num_repeats)
        return detectors

    def _with_repeats(self, num_repeats: int) -> MapDetector:
        """The same signals for a rate that repeats them."""
        other = copy(self)
        other._num_repeats = num_repeats
        return other

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> FloatArray:
        """Vectors to search with, (batch, dim + 2) float32: the reals, -1 for the energy, the variance for the prior.

        Parameters and errors are those of `RateSignals.observed`.
        """
        return self._queries(*observed(symbols, noise_variance, dim=self._dim, num_repeats=self._num_repeats))

    def _queries(self, reals: FloatArray, noise: npt.NDArray[np.float64]) -> FloatArray:
        variance = noise + self._unexplained
        return np.column_stack([reals, np.full_like(variance, -1.0), variance]).astype(np.float32)

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
            found = self._hypotheses(queries[start : start + _IMAGES_AT_A_TIME])
            order = np.argsort(-self._preference(found), axis=1, kind="stable")
            entries = self._entries[np.take_along_axis(found.signal_ids, order, axis=1)]
            weights = np.take_along_axis(probabilities(found.log_likelihoods), order, axis=1)
            ranked += map(merge_entries, entries, weights, self._confidences(found, entries[:, 0]))
        return ranked

    def match(self, queries: FloatArray) -> list[Candidate]:
        """The entry with the largest expected similarity for each image.

        Parameters
        ----------
        queries : (batch, dim + 2) float32, of `queries`; the candidates of each take 128 KB

        Returns
        -------
        candidates : the score estimates the cosine of the two images' centred features, -1 .. 1: the correlation of
            observation and signal, which have known power, times the similarity of entry and signal
        """
        found = self._hypotheses(queries)
        columns = self._preference(found).argmax(axis=1)
        rows = np.arange(len(columns))
        signal_ids, log_likelihoods = found.signal_ids[rows, columns], found.log_likelihoods[rows, columns]
        confidences = self._confidences(found, self._entries[signal_ids])
        # In plain floats, because there is mostly one image.
        chosen = zip(signal_ids.tolist(), log_likelihoods.tolist(), found.variance.tolist(), confidences, strict=True)
        return [self._candidate(*each) for each in chosen]

    def confidences(self, queries: FloatArray, entries: npt.NDArray[np.int64]) -> list[float]:
        """Probability of each answer, (batch,) entries, that another decoder gave to (batch, dim + 2) queries."""
        return self._confidences(self._hypotheses(queries), entries)

    def prepare(self) -> None:
        """Choose the scales of the confidences now."""
        _ = self._scales

    def answers_without(
        self, reals: FloatArray, noise: npt.NDArray[np.float64], left_out: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]]:
        """Answer images, each without one entry: see `edge_rx.decoders.entry_calibration.TestedDetector`."""
        found = self._hypotheses(self._queries(reals, noise))
        is_left_out = self._entries[found.signal_ids] == left_out[:, None]
        is_left_out &= ~is_left_out.all(axis=1, keepdims=True)  # one that has all candidates is its own answer
        found = replace(found, log_likelihoods=np.where(is_left_out, -np.inf, found.log_likelihoods))
        columns = self._preference(found).argmax(axis=1)
        answers = self._entries[found.signal_ids[np.arange(len(columns)), columns]]
        return answers, lambda temperatures: self._shares(found, answers, temperatures)

    def _hypotheses(self, queries: FloatArray) -> _Hypotheses:
        signal_ids, log_likelihoods = self.top_hypotheses(queries, num_matches=self._num_candidates)
        sampled = (queries @ self._sample.vectors.T) / queries[:, -1:]
        return _Hypotheses(signal_ids, log_likelihoods, sampled, queries[:, -1])

    def _candidate(self, signal_id: int, log_likelihood: float, variance: float, confidence: float) -> Candidate:
        half_energy = float(self._half_energy[signal_id])
        product = variance * (log_likelihood - float(self._log_priors[signal_id])) + half_energy
        correlation = product / math.sqrt(half_energy * self._dim)
        score = min(1.0, max(-1.0, correlation)) * float(self._similarity[signal_id])
        return Candidate(int(self._entries[signal_id]), score, confidence)

    def _confidences(self, found: _Hypotheses, answers: npt.NDArray[np.int64]) -> list[float]:
        """Probability that each answer's group is right, or the answer itself where there are no groups."""
        temperatures, factors = self._scales.at(found.variance.astype(np.float64) - self._unexplained)
        confidences = factors * self._shares(found, answers, temperatures)
        if self._accuracies is not None:
            confidences *= self._accuracies[answers]
        return [float(each) for each in confidences]

    @cached_property
    def _scales(self) -> Scales:
        """Chosen by the first observation, or before it by `prepare`."""
        return Scales.exact() if self._calibration is None else self._calibration.scales(self, self._dim)

    def _shares(
        self, found: _Hypotheses, answers: npt.NDArray[np.int64], temperatures: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Share of each answer's group in the likelihoods of all signals, at inverse temperatures (batch,)."""
        scales = temperatures[:, None].astype(np.float32)
        log_likelihoods = scales * found.log_likelihoods
        total = self._sample.log_total(scales * found.sampled, found.signal_ids, log_likelihoods)
        entries = self._entries[found.signal_ids]
        groups = np.arange(len(self._vectors)) if self._groups is None else self._groups
        own = log_sum(np.where(groups[entries] == groups[answers][:, None], log_likelihoods, -np.inf))
        return np.minimum(np.exp(own - total), 1.0)

    def _preference(self, found: _Hypotheses) -> FloatArray:
        """Expected similarity of each candidate's entry; entries outside the most probable group come last."""
        entries, log_likelihoods = self._entries[found.signal_ids], found.log_likelihoods
        if self._groups is None or self._answer == "nearest":
            return expected_similarity(self._vectors[entries], log_likelihoods)
        is_preferred = in_most_probable_group(self._groups[entries], log_likelihoods)
        within = np.where(is_preferred, log_likelihoods, -np.inf)
        similarity = expected_similarity(self._vectors[entries], within)
        # Vectors have bounded lengths, so that this separates the two kinds.
        return np.where(is_preferred, similarity, similarity - 2.0 * np.abs(similarity).max() - 1.0)
