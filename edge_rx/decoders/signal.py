"""Decoders without a network: `nested` and `index`, whose search among known signals is the decoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from edge_rx.decoders.base import Candidate, Observation, Query, check_length, host_query
from edge_rx.decoders.codeword_search import CodewordSearch
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.templates import SignalTemplates
from edge_rx.kb import KnowledgeBase
from edge_rx.noise import NoiseEstimator, equalize_and_estimate
from engines.models.arrays import FloatArray
from engines.models.codecs import NestedCodec
from engines.models.entry_codebook import index_fingerprint
from semlink.errors import DecodeError
from semlink.iq import Symbols
from semlink.rates import Rate

__all__ = ["SignalDecoder", "index_decoders", "nested_decoders"]


class SignalDecoder:
    """A search among signals at one rate.

    Parameters
    ----------
    codec : name of the codec
    signals : the search; its scores are those of `MapDetector.match` or `CodewordSearch.match`
    rate : number of symbols
    """

    def __init__(self, codec: str, signals: MapDetector | CodewordSearch, rate: Rate) -> None:
        self.codec = codec
        self._signals, self._rate = signals, rate

    def equalize(self, received: Symbols, *, num_pilots: int, noise: NoiseEstimator) -> Observation:
        """Estimate gain and noise variance, divide by the gain, and weigh by the noise."""
        check_length(received, self._rate, num_pilots)
        if not received[num_pilots:].any():
            raise DecodeError("symbols decode to no direction: all are zero")
        symbols, noise_variance = equalize_and_estimate(received, num_pilots=num_pilots, estimator=noise)
        return self._signals.queries(symbols[None], np.array([noise_variance]))

    def decode(self, observation: Observation) -> Query:
        """Return the observation: the search compares it with signals."""
        return observation

    def search(self, query: Query) -> list[Candidate | None]:
        """The candidates of the signal search."""
        return [Candidate(*match) for match in self._signals.match(host_query(query))]


def nested_decoders(
    codec: NestedCodec, knowledge_base: KnowledgeBase, rates: list[Rate], options: DecoderOptions
) -> Iterator[tuple[bytes, SignalDecoder]]:
    """Fingerprint and decoder of `nested` at every rate, also of its high-SNR code where options ask for it.

    Raises
    ------
    KnowledgeBaseError
        If the codec has a projection head, and the knowledge base lacks its vectors.
    """
    codes = {codec.name: codec.codebook}
    if options.with_high_snr_code and codec.codebook.has_high_snr_code:
        codes[codec.high_snr_name] = codec.codebook.for_high_snr()
    vectors = _entry_vectors(codec, knowledge_base)
    for name, templates in zip(codes, SignalTemplates.of_codes([*codes.values()], vectors), strict=True):
        detectors = MapDetector.of_rates(templates, rates, num_threads=options.num_threads, gpu=options.gpu)
        for rate, detector in detectors.items():
            is_high_snr = name == codec.high_snr_name
            yield codec.fingerprint(rate, is_high_snr=is_high_snr), SignalDecoder(name, detector, rate)


def index_decoders(
    knowledge_base: KnowledgeBase, rates: list[Rate], spaces: Mapping[str, str], options: DecoderOptions
) -> Iterator[tuple[bytes, SignalDecoder]]:
    """Fingerprint and decoder of `index` at every rate.

    Parameters
    ----------
    spaces : fingerprint of each vector space in which a transmitter may find the nearest entry, and the codec's name;
        an entry's codeword is the same in all of them
    """
    fingerprint, num_entries = knowledge_base.fingerprint, knowledge_base.num_entries
    for rate in rates:
        search = CodewordSearch(fingerprint, num_entries, rate, num_threads=options.num_threads, gpu=options.gpu)
        for space, codec in spaces.items():
            yield index_fingerprint(space, fingerprint, rate), SignalDecoder(codec, search, rate)


def _entry_vectors(codec: NestedCodec, knowledge_base: KnowledgeBase) -> FloatArray:
    """The entries in the space that the codec encodes: features, or projected features."""
    if codec.entry.projection is None:
        return knowledge_base.features()
    return knowledge_base.projected(codec.projection_fingerprint)
