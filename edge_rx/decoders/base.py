"""The interface of every decoder: one codec at one rate, over one knowledge base.

    symbols --equalize--> observation --decode--> query --search--> candidate

Equalisation depends on the stream and the order of its frames; decoding and search process many frames at once. The
decoders of `edge_rx.decoders.feature` run a network and search features by cosine. Those of `edge_rx.decoders.signal`
compare signals: their search is the decoder.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_rx.noise import NoiseEstimator
from engines.backends.runner import DeviceView
from engines.models.arrays import FloatArray
from semlink.errors import DecodeError, EngineError
from semlink.iq import Symbols
from semlink.rates import Rate

__all__ = ["Candidate", "Decoder", "Observation", "Query", "check_length", "check_symbols", "host_query"]

Observation: TypeAlias = npt.NDArray[np.float32]
"""(batch, ...): equalised transmissions, as the decoder's network or search reads them."""

Query: TypeAlias = FloatArray | DeviceView
"""(batch, dim) float32: the decoder's estimates, in host memory or on the GPU that searches."""


class Candidate(NamedTuple):
    """The knowledge base's best entry for one transmission.

    Attributes
    ----------
    entry_id : number of the entry
    score : similarity of entry and transmitted image as the codec estimates it, -1 .. 1
    confidence : probability that the answer is right, 0 .. 1: that the image has the entry's label, or, where the entry
        has none, that it is the nearest entry
    """

    entry_id: int
    score: float
    confidence: float


class Decoder(Protocol):
    """One codec at one rate, over one knowledge base."""

    @property
    def codec(self) -> str:
        """Name of the codec."""
        ...

    def equalize(self, received: Symbols, *, num_pilots: int, noise: NoiseEstimator) -> Observation:
        """Undo the channel of one transmission, (1, ...).

        Parameters
        ----------
        received : (num_pilots + n,) complex64, pilots first
        noise : noise estimate of the transmission's stream, updated by this one

        Raises
        ------
        DecodeError
            If the number of symbols does not fit the rate, or all are zero.
        """
        ...

    def decode(self, observation: Observation) -> Query:
        """Estimate the query of each transmission."""
        ...

    def search(self, query: Query) -> list[Candidate | None]:
        """The best candidate for each query; None for a query without a direction."""
        ...


def check_length(received: Symbols, rate: Rate, num_pilots: int) -> None:
    """DecodeError unless there are as many symbols as pilots and rate say."""
    if received.shape != (num_pilots + rate.num_symbols,):
        raise DecodeError(
            f"symbols do not fit their models: received {received.shape},"
            f" rate {rate.name} with {num_pilots} pilots has ({num_pilots + rate.num_symbols},)"
        )


def check_symbols(symbols: Symbols, noise_variance: npt.NDArray[np.float64], *, num_reals: int) -> None:
    """DecodeError for symbols that a search would answer at random: of another rate, NaN, or without a variance."""
    if symbols.ndim != 2 or 2 * symbols.shape[1] != num_reals or noise_variance.shape != symbols.shape[:1]:
        raise DecodeError(
            f"symbols do not fit their rate: received {symbols.shape} with {noise_variance.shape} noise variances,"
            f" the signals are of {num_reals // 2} symbols"
        )
    if not (np.isfinite(symbols).all() and np.isfinite(noise_variance).all() and (noise_variance > 0).all()):
        raise DecodeError("symbols cannot be weighed: they, or their noise variance, are not finite and positive")


def host_query(query: Query) -> FloatArray:
    """The query as an array; EngineError if it is on a GPU, where only a search on that GPU reads it."""
    if isinstance(query, DeviceView):
        raise EngineError("this search reads queries in host memory, got one on a GPU; use the decoder's own search")
    return query
