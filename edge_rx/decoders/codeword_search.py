"""Codeword search of `index`: the codeword with the largest correlation is the maximum-likelihood decision."""

from __future__ import annotations

from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.base import check_symbols
from edge_rx.decoders.ranking import NUM_CANDIDATES, RankedEntries, probabilities
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
    num_threads : CPU threads of a search
    gpu : GPU that holds the codewords and searches; None for the CPU
    """

    def __init__(
        self,
        knowledge_base: bytes,
        num_entries: int,
        rate: Rate,
        *,
        num_threads: int = 1,
        gpu: GpuSearch | None = None,
    ) -> None:
        if num_entries < 1:
            raise KnowledgeBaseError("a knowledge base without entries answers nothing")
        self._num_reals = rate.latent_dim
        self._build_index = partial(_index_of_codewords, knowledge_base, num_entries, rate, num_threads, gpu)

    @cached_property
    def _index(self) -> InnerProductIndex:
        """Built by the first search, because receivers without `index` transmitters need no 8 n bytes an entry."""
        return self._build_index()

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> FloatArray:
        """Vectors to search with, (batch, 2 n) float32: see `edge_rx.decoders.map_detector.MapDetector.queries`."""
        check_symbols(symbols, noise_variance, num_reals=self._num_reals)
        return unpair_symbols(symbols)

    def search(
        self, symbols: Symbols, noise_variance: npt.NDArray[np.float64], *, num_matches: int
    ) -> tuple[EntryIds, FloatArray]:
        """The most likely entries, with log-likelihoods up to a constant of the image.

        All codewords have the same power, so the largest inner product is the largest likelihood; its lead over the
        second, divided by the noise variance, is the log-likelihood ratio.
        """
        entries, products = self._index.search(self.queries(symbols, noise_variance), num_matches=num_matches)
        return entries, np.asarray(products / (np.asarray(noise_variance)[:, None] / 2), dtype=np.float32)

    def ranked(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> list[RankedEntries]:
        """The most likely entries of each image; the first is the answer of `match`."""
        entries, log_likelihoods = self.search(symbols, noise_variance, num_matches=NUM_CANDIDATES)
        return list(map(RankedEntries, entries, probabilities(log_likelihoods)))

    def match(self, queries: FloatArray) -> list[tuple[int, float]]:
        """The most likely entry for each of (batch, 2 n), and the correlation of observation and codeword, -1 .. 1.

        The score measures the reception of the entry's number. The similarity of image and entry is known to the
        transmitter alone.
        """
        entries, products = self._index.search(queries, num_matches=1)
        # Both have unit power, so each of the 2 n reals has a mean square of one half.
        correlations = (products[:, 0].astype(np.float64) / (self._num_reals / 2)).clip(-1.0, 1.0)
        return list(zip(entries[:, 0].tolist(), correlations.tolist(), strict=True))


def _index_of_codewords(
    knowledge_base: bytes, num_entries: int, rate: Rate, num_threads: int, gpu: GpuSearch | None
) -> InnerProductIndex:
    codewords = entry_codewords(knowledge_base, np.arange(num_entries), rate)
    return InnerProductIndex(codewords, num_threads=num_threads, gpu=gpu)
