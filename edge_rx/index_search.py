"""Retrieval in `index` mode: the nearest codeword is the answer, and maximum-likelihood decoding too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_rx.kb.index import EntryIds, InnerProductIndex
from edge_rx.signal_search import require_sound
from engines.arrays import FloatArray
from engines.entry_keys import entry_codewords
from semlink.errors import KnowledgeBaseError
from semlink.iq import Symbols, unpair_symbols
from semlink.rates import Rate

__all__ = ["IndexSearch"]


class IndexSearch:
    """The codewords of one knowledge base at one rate.

    Parameters
    ----------
    knowledge_base : its fingerprint, which the transmitter's keys must carry too
    num_entries : how many it has, at least 1
    rate : symbols of an image
    num_threads : CPU threads of a search
    """

    def __init__(self, knowledge_base: bytes, num_entries: int, rate: Rate, *, num_threads: int = 1) -> None:
        if num_entries < 1:
            raise KnowledgeBaseError("a knowledge base without entries answers nothing")
        self._num_reals = rate.latent_dim
        self._index = InnerProductIndex(rate.latent_dim, num_threads=num_threads)
        self._index.add(entry_codewords(knowledge_base, np.arange(num_entries), rate))

    def search(
        self, symbols: Symbols, noise_variance: npt.NDArray[np.float64], *, num_matches: int
    ) -> tuple[EntryIds, FloatArray]:
        """Find the likeliest entries; see `edge_rx.signal_search.SignalSearch.search`.

        All codewords have the same power, so the largest inner product is the largest likelihood;
        by how much it leads the second, over the noise, is how sure the answer is.
        """
        require_sound(symbols, noise_variance, num_reals=self._num_reals)
        entries, products = self._index.search(unpair_symbols(symbols), num_matches=num_matches)
        return entries, np.asarray(products / (np.asarray(noise_variance)[:, None] / 2), dtype=np.float32)
