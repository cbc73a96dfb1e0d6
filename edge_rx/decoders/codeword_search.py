"""Codeword search of `index`: the codeword with the largest correlation is the maximum-likelihood decision."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.base import Candidate, check_symbols
from edge_rx.decoders.ranking import NUM_CANDIDATES, RankedEntries, probabilities
from edge_rx.decoders.total_probability import SignalSample
from edge_rx.kb.gpu_search import GpuSearch
from edge_rx.kb.index import EntryIds, InnerProductIndex
from engines.models.arrays import FloatArray
from engines.models.entry_codebook import entry_codewords
from semlink.errors import KnowledgeBaseError
from semlink.iq import Symbols, unpair_symbols
from semlink.rates import Rate

__all__ = ["CodewordSearch"]


class CodewordSearch:
    """Search among the codewords of one knowledge base at one rate.

    Parameters
    ----------
    knowledge_base : fingerprint of the knowledge base, which the transmitter's entry codebook carries too
    num_entries : number of entries, at least 1
    rate : number of symbols
    accuracies : gives, when first asked, the probability that an image has the label of its nearest entry, (entries,)
        float32; 1 for entries without a label. None if no entry has one
    num_threads : CPU threads of a search
    gpu : GPU that holds the codewords and searches; None for the CPU
    """

    def __init__(
        self,
        knowledge_base: bytes,
        num_entries: int,
        rate: Rate,
        *,
        accuracies: Callable[[], FloatArray] | None = None,
        num_threads: int = 1,
        gpu: GpuSearch | None = None,
    ) -> None:
        if num_entries < 1:
            raise KnowledgeBaseError("a knowledge base without entries answers nothing")
        self._num_reals, self._num_entries = rate.latent_dim, num_entries
        self._accuracies = accuracies
        self._build_index = partial(_index_of_codewords, knowledge_base, num_entries, rate, num_threads, gpu)

    @cached_property
    def _search(self) -> tuple[InnerProductIndex, SignalSample]:
        """Built by the first search, because receivers without `index` transmitters need no 8 n bytes an entry."""
        return self._build_index()

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> FloatArray:
        """Reals and their noise variance, (batch, 2 n + 1) float32; parameters and errors as of `MapDetector`."""
        check_symbols(symbols, noise_variance, num_reals=self._num_reals)
        return np.column_stack([unpair_symbols(symbols), np.asarray(noise_variance) / 2]).astype(np.float32)

    def search(self, queries: FloatArray, *, num_matches: int) -> tuple[EntryIds, FloatArray]:
        """The most likely entries for each of (batch, 2 n + 1), with log-likelihoods up to a constant of the image.

        All codewords have the same power, so the largest inner product is the largest likelihood; its lead over the
        second, divided by the noise variance, is the log-likelihood ratio.
        """
        index, _ = self._search
        entries, products = index.search(np.ascontiguousarray(queries[:, :-1]), num_matches=num_matches)
        return entries, np.asarray(products / queries[:, -1:], dtype=np.float32)

    def ranked(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> list[RankedEntries]:
        """The most likely entries of each image; the first is the answer of `match`."""
        queries = self.queries(symbols, noise_variance)
        entries, log_likelihoods = self.search(queries, num_matches=NUM_CANDIDATES)
        confidences = self._confidences(queries, entries, log_likelihoods)
        return list(map(RankedEntries, entries, probabilities(log_likelihoods), confidences))

    def match(self, queries: FloatArray) -> list[Candidate]:
        """The most likely entry for each of (batch, 2 n + 1).

        The score is the correlation of observation and codeword, -1 .. 1. It measures the reception of the entry's
        number; the similarity of image and entry is known to the transmitter alone.
        """
        entries, log_likelihoods = self.search(queries, num_matches=NUM_CANDIDATES)
        # Both have unit power, so each of the 2 n reals has a mean square of one half.
        products = log_likelihoods[:, 0].astype(np.float64) * queries[:, -1]
        correlations = (products / (self._num_reals / 2)).clip(-1.0, 1.0)
        confidences = self._confidences(queries, entries, log_likelihoods)
        return list(map(Candidate, entries[:, 0].tolist(), correlations.tolist(), confidences))

    def prepare(self) -> None:
        """Nothing: codewords take memory that receivers without `index` transmitters never need."""

    def _confidences(self, queries: FloatArray, entries: EntryIds, log_likelihoods: FloatArray) -> list[float]:
        """Probability of each row's first entry, times that of its label."""
        _, sample = self._search
        sampled = (queries[:, :-1] @ sample.vectors.T) / queries[:, -1:]
        total = sample.log_total(sampled, entries, log_likelihoods)
        received = np.minimum(np.exp(log_likelihoods[:, 0] - total), 1.0)
        return [float(each) for each in received * self._label_accuracies[entries[:, 0]]]

    @cached_property
    def _label_accuracies(self) -> FloatArray:
        return np.ones(self._num_entries, np.float32) if self._accuracies is None else self._accuracies()


def _index_of_codewords(
    knowledge_base: bytes, num_entries: int, rate: Rate, num_threads: int, gpu: GpuSearch | None
) -> tuple[InnerProductIndex, SignalSample]:
    codewords = entry_codewords(knowledge_base, np.arange(num_entries), rate)
    return InnerProductIndex(codewords, num_threads=num_threads, gpu=gpu), SignalSample(codewords)
