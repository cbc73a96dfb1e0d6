"""Decoders without a network: `nested`, `adapted`, `index`, whose search among known signals is the decoder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.adapted import adapted_templates, label_groups
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
from engines.models.knowledge_base_codebook import ADAPTED, ADAPTED_HIGH_SNR, KnowledgeBaseCodebook
from semlink.errors import DecodeError, EngineError
from semlink.iq import Symbols
from semlink.rates import Rate

__all__ = ["SignalDecoder", "adapted_decoders", "index_decoders", "nested_decoders"]

_log = logging.getLogger(__name__)


class SignalSearch(Protocol):
    """A search among known signals: `MapDetector`, `CodewordSearch`."""

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> FloatArray:
        """Vectors to search with, (batch, dim) float32."""
        ...

    def match(self, queries: FloatArray) -> list[tuple[int, float]]:
        """The best entry for each query, and its score."""
        ...


class DeferredDetector:
    """A detector that its first observation builds, because most receivers never receive a frame for it.

    Parameters
    ----------
    build : builds the detector
    """

    def __init__(self, build: Callable[[], MapDetector]) -> None:
        self._build = build

    @cached_property
    def _detector(self) -> MapDetector:
        return self._build()

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> FloatArray:
        """See `MapDetector.queries`."""
        return self._detector.queries(symbols, noise_variance)

    def match(self, queries: FloatArray) -> list[tuple[int, float]]:
        """See `MapDetector.match`."""
        return self._detector.match(queries)


class SignalDecoder:
    """A search among signals at one rate.

    Parameters
    ----------
    codec : name of the codec
    signals : the search, which defines the scores
    rate : number of symbols
    """

    def __init__(self, codec: str, signals: SignalSearch, rate: Rate) -> None:
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
    codec: NestedCodec,
    knowledge_base: KnowledgeBase,
    labels: Sequence[str],
    rates: list[Rate],
    options: DecoderOptions,
) -> Iterator[tuple[bytes, SignalDecoder]]:
    """Fingerprint and decoder of `nested` at every rate, also of its high-SNR code where options ask for it.

    Parameters
    ----------
    labels : label of each entry, "" without one

    Raises
    ------
    KnowledgeBaseError
        If the codec has a projection head, and the knowledge base lacks its vectors.
    """
    codes = {codec.name: codec.codebook}
    if options.with_high_snr_code and codec.codebook.has_high_snr_code:
        codes[codec.high_snr_name] = codec.codebook.for_high_snr()
    vectors = _entry_vectors(codec, knowledge_base)
    groups = label_groups(labels) if options.answer == "label" else None
    of_codes = SignalTemplates.of_codes([*codes.values()], vectors, groups=groups)
    for name, templates in zip(codes, of_codes, strict=True):
        detectors = MapDetector.of_rates(templates, rates, num_threads=options.num_threads, gpu=options.gpu)
        for rate, detector in detectors.items():
            is_high_snr = name == codec.high_snr_name
            yield codec.fingerprint(rate, is_high_snr=is_high_snr), SignalDecoder(name, detector, rate)


def adapted_decoders(
    codebooks: Sequence[KnowledgeBaseCodebook],
    knowledge_base: KnowledgeBase,
    labels: Sequence[str],
    rates: list[Rate],
    options: DecoderOptions,
) -> Iterator[tuple[bytes, SignalDecoder]]:
    """Fingerprint and decoder of `adapted` at every rate, also of its high-SNR code where options ask for it.

    Parameters
    ----------
    codebooks : the first one's signals are computed here, those of the others by the first frame that needs them
    labels : label of each entry, "" without one
    """
    for number, codebook in enumerate(codebooks):
        signals = _AdaptedSignals(codebook, knowledge_base, labels, options)
        for name, decoders in (signals.deferred(rates) if number else signals.loaded(rates)).items():
            fingerprints = codebook.fingerprints(rates, is_high_snr=name == ADAPTED_HIGH_SNR)
            for rate, search in decoders.items():
                yield fingerprints[rate], SignalDecoder(name, search, rate)


@dataclass(frozen=True, eq=False)
class _AdaptedSignals:
    """The signals of one codebook, for the codes that are served.

    Attributes
    ----------
    labels : label of each entry, in memory, because an earlier codebook may need them when the files have been replaced
    """

    codebook: KnowledgeBaseCodebook
    knowledge_base: KnowledgeBase
    labels: Sequence[str]
    options: DecoderOptions

    def loaded(self, rates: list[Rate]) -> dict[str, dict[Rate, MapDetector]]:
        """Detectors by code and rate."""
        return {
            name: MapDetector.of_rates(templates, rates, num_threads=self.options.num_threads, gpu=self.options.gpu)
            for name, templates in self._templates().items()
        }

    def deferred(self, rates: list[Rate]) -> dict[str, dict[Rate, DeferredDetector]]:
        """The same detectors, each built by its first observation."""
        # Built once for all rates, which share signals.
        build = lru_cache(maxsize=1)(partial(self._loaded_late, tuple(rates)))
        return {
            name: {rate: DeferredDetector(partial(_detector_of, build, name, rate)) for rate in rates}
            for name in self._names()
        }

    def _loaded_late(self, rates: tuple[Rate, ...]) -> dict[str, dict[Rate, MapDetector]]:
        _log.info("computing the signals of the earlier codebook %s", self.codebook.sha256[:12])
        try:
            return self.loaded([*rates])
        except EngineError as error:
            raise DecodeError(f"an earlier codebook cannot be served: {error}") from None

    def _names(self) -> tuple[str, ...]:
        return (ADAPTED, ADAPTED_HIGH_SNR) if self.options.with_high_snr_code else (ADAPTED,)

    def _templates(self) -> dict[str, SignalTemplates]:
        signals = adapted_templates(self.codebook, self.knowledge_base.features(), self.labels)
        if self.options.answer == "nearest":
            signals = (replace(signals[0], groups=None), replace(signals[1], groups=None))
        return dict(zip(self._names(), signals, strict=False))


def _detector_of(build: Callable[[], dict[str, dict[Rate, MapDetector]]], name: str, rate: Rate) -> MapDetector:
    return build()[name][rate]


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
