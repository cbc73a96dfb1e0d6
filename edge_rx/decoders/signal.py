"""Decoders without a network, whose search among known signals is the decoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.base import Candidate, Observation, Query, check_length, host_query
from edge_rx.equalizer import equalize_phase
from edge_rx.noise import NoiseEstimator, equalize_and_estimate
from engines.models.arrays import FloatArray
from semlink.errors import DecodeError
from semlink.iq import Symbols
from semlink.rates import Rate

__all__ = ["DeferredSearch", "SignalDecoder", "SignalSearch", "with_one_pilot"]


class SignalSearch(Protocol):
    """A search among known signals: `MapDetector`, `LabelDetector`, `CodewordSearch`."""

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> FloatArray:
        """Vectors to search with, (batch, dim) float32."""
        ...

    def match(self, queries: FloatArray) -> list[Candidate]:
        """The answer to each query."""
        ...

    def prepare(self) -> None:
        """Compute now what the first answer needs, if it takes little memory."""
        ...


def with_one_pilot(received: Symbols) -> tuple[Symbols, npt.NDArray[np.float64]]:
    """Undo the phase that a single pilot shows, (1, n), and take the noise to be as strong as the signal, (1,)."""
    return equalize_phase(received, num_pilots=1)[None], np.ones(1)


class DeferredSearch:
    """A search that its first observation builds, because most receivers never receive a frame for it.

    Parameters
    ----------
    build : builds the search
    """

    def __init__(self, build: Callable[[], SignalSearch]) -> None:
        self._build = build

    @cached_property
    def _search(self) -> SignalSearch:
        return self._build()

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> FloatArray:
        """See `SignalSearch.queries`."""
        return self._search.queries(symbols, noise_variance)

    def match(self, queries: FloatArray) -> list[Candidate]:
        """See `SignalSearch.match`."""
        return self._search.match(queries)

    def prepare(self) -> None:
        """Nothing: what is deferred is seldom needed."""


class SignalDecoder:
    """A search among signals at one rate.

    Parameters
    ----------
    codec : name of the codec
    signals : the search, which defines the scores
    rate : number of symbols
    takes_one_pilot : whether transmitters of the codec may send a single pilot, which shows a phase and no noise
    """

    def __init__(self, codec: str, signals: SignalSearch, rate: Rate, *, takes_one_pilot: bool = False) -> None:
        self.codec = codec
        self._signals, self._rate, self._takes_one_pilot = signals, rate, takes_one_pilot

    def equalize(self, received: Symbols, *, num_pilots: int, noise: NoiseEstimator) -> Observation:
        """Estimate gain and noise variance, divide by the gain, and weigh by the noise."""
        check_length(received, self._rate, num_pilots)
        if not received[num_pilots:].any():
            raise DecodeError("symbols decode to no direction: all are zero")
        if num_pilots == 1 and self._takes_one_pilot:
            return self._signals.queries(*with_one_pilot(received))
        symbols, noise_variance = equalize_and_estimate(received, num_pilots=num_pilots, estimator=noise)
        return self._signals.queries(symbols[None], np.array([noise_variance]))

    def decode(self, observation: Observation) -> Query:
        """Return the observation: the search compares it with signals."""
        return observation

    def search(self, query: Query) -> list[Candidate | None]:
        """The candidates of the signal search."""
        return [*self._signals.match(host_query(query))]

    def prepare(self) -> None:
        """Compute now what the first frame needs."""
        self._signals.prepare()
