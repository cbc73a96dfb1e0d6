"""Retrieval by listening: find the entry that is most like what was probably meant.

The receiver runs its own entries through the transmitter's code and keeps what each would have
sounded like. Received symbols are then compared with those keys, and the search for the largest
log-likelihoods *is* the decoder: one inner product per key, one FAISS call.

    log p(y | key) = (y . key - |key|^2 / 2) / v,  v the variance of what is neither key nor known

One v for all keys, so that it stays one inner product: that of an unfamiliar image, whose analog part
is all that its key is about. A codeword explains more than that, so at high SNR its likelihood is
told flatter than it is. The keys' priors are one more coordinate, so that the noise, which each image
has of its own, weighs them without the keys being touched.

The likeliest key is not always the best answer: where the noise leaves several about as likely, the one
that the others resemble is wrong by less. So the entries of the likeliest keys are held against each
other, weighted by their likelihoods, and that with the largest expected similarity is the answer
(minimum Bayes risk; Kumar, Byrne, "Minimum Bayes-risk decoding for statistical machine translation", 2004).
What it brings, and costs, is measured: docs/results.md, "Which entry to answer with".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.templates import SignalTemplates
from edge_rx.kb.gpu_search import GpuSearch
from edge_rx.kb.index import EntryIds, InnerProductIndex
from engines.models.arrays import FloatArray
from engines.models.codebook import repeat
from semlink.errors import DecodeError
from semlink.iq import Symbols, unpair_symbols
from semlink.rates import Rate

__all__ = ["NUM_CANDIDATES", "MapDetector", "RankedEntries", "check_symbols", "probabilities"]

NUM_CANDIDATES = 64
"""Keys that the answer is chosen from. With little signal the rest are as likely together, but no likelier to help."""
_IMAGES_AT_A_TIME = 256
"""Whose candidates are held in memory together, 128 KB for each image."""


class RankedEntries(NamedTuple):
    """What a receiver makes of one image.

    Attributes
    ----------
    entries : (m,) int64, each once; first the one to answer with
    probabilities : (m,) float32, that it was meant, as the model has it: of these candidates alone, with one variance
        for all keys, and so no calibrated ones; they sum to 1
    """

    entries: EntryIds
    probabilities: npt.NDArray[np.float32]


class MapDetector:
    """The keys of one knowledge base at one rate.

    Parameters
    ----------
    templates : of that knowledge base
    rate : symbols of an image
    num_threads : CPU threads of a search
    gpu : where to hold the keys and search; None for the CPU
    num_candidates : likeliest keys that the answer is chosen from; 1 answers with the likeliest itself
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
        self._entries, self._similarity, self._log_priors = (
            templates.entries,
            templates.similarity,
            templates.log_priors,
        )
        self._unexplained, self._vectors = templates.unexplained, templates.vectors
        self._dim, self._num_repeats = _reals_and_repetitions(rate, templates.keys.shape[1])
        # Only a rate of no whole number of repeats needs them written down.
        longest = templates.keys if self._dim <= templates.keys.shape[1] else repeat(templates.keys)
        keys = _unit_power(longest[:, : self._dim]) * templates.scale[:, None]
        self._half_energy = np.sum(keys**2, axis=1) / 2
        vectors = np.column_stack([keys, self._half_energy, templates.log_priors]).astype(np.float32)
        self._index = InnerProductIndex(vectors, num_threads=num_threads, gpu=gpu)

    @classmethod
    def of_rates(
        cls, templates: SignalTemplates, rates: Sequence[Rate], *, num_threads: int = 1, gpu: GpuSearch | None = None
    ) -> dict[Rate, MapDetector]:
        """One search for each rate; rates that repeat one code share its keys."""
        searches: dict[Rate, MapDetector] = {}
        by_dim: dict[int, MapDetector] = {}
        for rate in rates:
            dim, num_repeats = _reals_and_repetitions(rate, templates.keys.shape[1])
            if dim not in by_dim:
                by_dim[dim] = cls(templates, rate, num_threads=num_threads, gpu=gpu)
            searches[rate] = by_dim[dim]._repeating(num_repeats)
        return searches

    def _repeating(self, num_repeats: int) -> MapDetector:
        """The same keys for a rate that says them so often."""
        other = copy(self)
        other._num_repeats = num_repeats
        return other

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> FloatArray:
        """What to look for, (batch, dim + 2) float32.

        Parameters
        ----------
        symbols : (batch, n) complex64, gain undone
        noise_variance : (batch,) N0 of those symbols

        Raises
        ------
        DecodeError
            If the symbols are not this rate's, or a number is not finite.
        """
        check_symbols(symbols, noise_variance, num_reals=self._num_repeats * self._dim)
        received = unpair_symbols(symbols).reshape(len(symbols), self._num_repeats, self._dim).mean(axis=1)
        # Of each real: half the noise, less by the repeats, and what an entry's key leaves unexplained.
        variance = np.asarray(noise_variance) / 2 / self._num_repeats + self._unexplained
        return np.column_stack([received, np.full_like(variance, -1.0), variance]).astype(np.float32)

    def top_hypotheses(self, queries: FloatArray, *, num_matches: int) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """The likeliest keys for each of `queries`, best first, and their log-likelihoods up to an image's constant.

        Returns
        -------
        keys : (batch, m) int64, places in the sounds' `entries`, of which two may be of one entry
        log_likelihoods : (batch, m) float32
        """
        keys, products = self._index.search(queries, num_matches=num_matches)
        return keys, np.asarray(products / queries[:, -1:], dtype=np.float32)

    def ranked(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> list[RankedEntries]:
        """For each image the likeliest keys' entries, by falling expected similarity: first what `match` gives."""
        queries = self.queries(symbols, noise_variance)
        ranked: list[RankedEntries] = []
        for start in range(0, len(queries), _IMAGES_AT_A_TIME):
            keys, log_likelihoods = self.top_hypotheses(
                queries[start : start + _IMAGES_AT_A_TIME], num_matches=self._num_candidates
            )
            order = np.argsort(-self._expected_similarity(keys, log_likelihoods), axis=1, kind="stable")
            entries = self._entries[np.take_along_axis(keys, order, axis=1)]
            weights = np.take_along_axis(probabilities(log_likelihoods), order, axis=1)
            ranked += map(_without_repeats, entries, weights)
        return ranked

    def match(self, queries: FloatArray) -> list[tuple[int, float]]:
        """For each image the entry of the largest expected similarity, and how alike what was heard and that entry are.

        Parameters
        ----------
        queries : (batch, dim + 2) float32, of `queries`; each image holds 128 KB meanwhile

        Returns
        -------
        entry_id, score : the score estimates the cosine of the two images' centred features, -1 .. 1: the
            correlation of signal and the entry's likeliest key, which are of known power, times the similarity
            of entry and key
        """
        keys, log_likelihoods = self.top_hypotheses(queries, num_matches=self._num_candidates)
        places = self._expected_similarity(keys, log_likelihoods).argmax(axis=1).tolist()
        return [
            self._scored(int(keys[image, place]), float(log_likelihoods[image, place]), float(queries[image, -1]))
            for image, place in enumerate(places)
        ]

    def _scored(self, key: int, log_likelihood: float, variance: float) -> tuple[int, float]:
        """A key's entry, and its score; plain numbers, because most often there is one image."""
        half_energy = float(self._half_energy[key])
        product = variance * (log_likelihood - float(self._log_priors[key])) + half_energy
        correlation = product / math.sqrt(half_energy * self._dim)
        return int(self._entries[key]), min(1.0, max(-1.0, correlation)) * float(self._similarity[key])

    def _expected_similarity(self, keys: npt.NDArray[np.int64], log_likelihoods: FloatArray) -> npt.NDArray[np.float32]:
        """Of each candidate's entry and what was meant, by the candidates' probabilities; (batch, m), to a factor."""
        vectors = self._vectors[self._entries[keys]]
        meant = probabilities(log_likelihoods)[:, None, :] @ vectors
        return np.asarray((vectors @ meant.swapaxes(1, 2))[:, :, 0], dtype=np.float32)


def probabilities(log_likelihoods: FloatArray) -> npt.NDArray[np.float32]:
    """Of candidates, (batch, m), from log-likelihoods up to an image's constant, best first; rows sum to 1."""
    weights = np.exp(log_likelihoods - log_likelihoods[:, :1])
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _without_repeats(entries: EntryIds, weights: npt.NDArray[np.float32]) -> RankedEntries:
    """Each entry once, where it is first, with what all its keys weigh; order kept."""
    _, first, places = np.unique(entries, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return RankedEntries(entries[first[order]], np.bincount(places, weights)[order].astype(np.float32))


def _reals_and_repetitions(rate: Rate, feature_dim: int) -> tuple[int, int]:
    """Reals of a rate's keys, and how often the rate repeats them: a whole number of times is averaged into one."""
    repeats, rest = divmod(rate.latent_dim, feature_dim)
    return (feature_dim, repeats) if repeats and not rest else (rate.latent_dim, 1)


def _unit_power(prefix: FloatArray) -> FloatArray:
    """Scale as the transmitter does: mean |x|^2 = 1, so half of it in each real."""
    lengths = np.linalg.norm(prefix, axis=1, keepdims=True)
    return np.asarray(prefix * np.sqrt(prefix.shape[1] / 2) / np.maximum(lengths, np.finfo(np.float32).tiny))


def check_symbols(symbols: Symbols, noise_variance: npt.NDArray[np.float64], *, num_reals: int) -> None:
    """Refuse what a search would answer with just any entry: other rates' symbols, NaN, and no noise at all."""
    if symbols.ndim != 2 or 2 * symbols.shape[1] != num_reals or noise_variance.shape != symbols.shape[:1]:
        raise DecodeError(
            f"symbols do not fit their rate: received {symbols.shape} with {noise_variance.shape} noise variances,"
            f" the keys are of {num_reals // 2} symbols"
        )
    if not (np.isfinite(symbols).all() and np.isfinite(noise_variance).all() and (noise_variance > 0).all()):
        raise DecodeError("symbols cannot be weighed: they, or their noise variance, are not finite and positive")
