"""The decoders of each codec over one knowledge base, by the fingerprint of their frames."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from typing import NamedTuple

import numpy as np

from edge_rx.decoders.adapted import AdaptedSignals
from edge_rx.decoders.codeword_search import CodewordSearch
from edge_rx.decoders.detectors import Detectors, nested_detectors, network_detectors
from edge_rx.decoders.label_detector import LabelDetector
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.neighbour_accuracy import neighbour_accuracies
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.signal import DeferredSearch, SignalDecoder
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.codebook_cells import entry_cells
from engines.models.arrays import FloatArray
from engines.models.codecs import NestedCodec, PerRateCodec
from engines.models.entry_codebook import index_fingerprint
from engines.models.knowledge_base_codebook import ADAPTED, ADAPTED_HIGH_SNR, KnowledgeBaseCodebook
from semlink.errors import DecodeError, EngineError
from semlink.rates import Rate

__all__ = ["IndexSpace", "SignalCodecs"]

_log = logging.getLogger(__name__)


class IndexSpace(NamedTuple):
    """A way in which a transmitter of `index` chooses an entry.

    Attributes
    ----------
    codec : name of the codec
    space : fingerprint of the image encoder or projection head whose vectors are compared, in hex
    decides_label : whether the label is decided first
    is_projected : whether the space is that of a projection head, in which entries know their labels
    """

    codec: str
    space: str
    decides_label: bool = False
    is_projected: bool = False

    def fingerprint(self, knowledge_base: bytes, rate: Rate) -> bytes:
        """Fingerprint of frames at a rate, for the knowledge base of a fingerprint."""
        return index_fingerprint(self.space, knowledge_base, rate, decides_label=self.decides_label)


@dataclass(frozen=True, eq=False)
class SignalCodecs:
    """Makes the decoders that compare signals of one knowledge base's entries.

    Attributes
    ----------
    labels : label of each entry, "" without one; in memory, because an earlier codebook may need them when the files
        have been replaced
    """

    knowledge_base: KnowledgeBase
    labels: Sequence[str]
    options: DecoderOptions

    def nested(self, codec: NestedCodec, rates: Sequence[Rate]) -> Iterator[tuple[bytes, SignalDecoder]]:
        """`nested` at every rate, also with its high-SNR code where options ask for it.

        Raises
        ------
        KnowledgeBaseError
            If the codec has a projection head, and the knowledge base lacks its vectors.
        """
        codes = {codec.name: codec.codebook}
        if self.options.with_high_snr_code and codec.codebook.has_high_snr_code:
            codes[codec.high_snr_name] = codec.codebook.for_high_snr()
        vectors = self._entry_vectors(codec)
        of_codes = nested_detectors(
            [*codes.values()],
            vectors,
            self.labels,
            rates,
            self.options,
            are_features=codec.entry.projection is None,
        )
        for name, detectors in zip(codes, of_codes, strict=True):
            for rate, detector in detectors.items():
                is_high_snr = name == codec.high_snr_name
                yield codec.fingerprint(rate, is_high_snr=is_high_snr), SignalDecoder(name, detector, rate)

    def network(self, codec: PerRateCodec, rates: Sequence[Rate]) -> dict[Rate, MapDetector | LabelDetector]:
        """Detectors of a codec with networks, of the signals that its encoder makes of the entries.

        By label where entries have labels, also for the nearest entry, whose confidence is then that of its label.

        Raises
        ------
        ModelSetError, EngineError
            If an encoder is missing or altered, or cannot be run.
        """
        features, options = self.knowledge_base.features(), replace(self.options, answer="label")
        encoders = {rate: codec.load_encoder(rate, num_threads=self.options.num_threads) for rate in rates}
        return {
            rate: network_detectors(encode, features, self.labels, rate, options) for rate, encode in encoders.items()
        }

    def adapted(
        self, codebooks: Sequence[KnowledgeBaseCodebook], rates: Sequence[Rate]
    ) -> Iterator[tuple[bytes, SignalDecoder]]:
        """`adapted` at every rate, also with its high-SNR code where options ask for it.

        Parameters
        ----------
        codebooks : the first one's signals are computed here, those of the others by the first frame that needs them
        """
        names = (ADAPTED, ADAPTED_HIGH_SNR) if self.options.with_high_snr_code else (ADAPTED,)
        for number, codebook in enumerate(codebooks):
            signals = cache(partial(self._adapted_signals, codebook))
            for name in names:
                is_high_snr = name == ADAPTED_HIGH_SNR
                detectors = lru_cache(partial(self._adapted_detectors, signals, tuple(rates), is_high_snr))
                for rate, fingerprint in codebook.fingerprints(rates, is_high_snr=is_high_snr).items():
                    search = DeferredSearch(partial(_of_earlier, detectors, rate)) if number else detectors()[rate]
                    yield fingerprint, SignalDecoder(name, search, rate)

    def index(self, rates: Sequence[Rate], spaces: Sequence[IndexSpace]) -> Iterator[tuple[bytes, SignalDecoder]]:
        """`index` at every rate.

        Parameters
        ----------
        spaces : those in which transmitters may choose an entry; its codeword is the same in all of them
        """
        fingerprint, num_entries = self.knowledge_base.fingerprint, self.knowledge_base.num_entries
        for space in spaces:
            accuracies = cache(partial(self._index_accuracies, space))
            for rate in rates:
                search = CodewordSearch(
                    fingerprint,
                    num_entries,
                    rate,
                    accuracies=accuracies,
                    num_threads=self.options.num_threads,
                    gpu=self.options.gpu,
                )
                yield space.fingerprint(fingerprint, rate), SignalDecoder(space.codec, search, rate)

    def _adapted_signals(self, codebook: KnowledgeBaseCodebook) -> AdaptedSignals:
        return AdaptedSignals.of(codebook, self.knowledge_base.features(), self.labels)

    def _adapted_detectors(
        self, signals: Callable[[], AdaptedSignals], rates: tuple[Rate, ...], is_high_snr: bool
    ) -> Detectors:
        return signals().detectors(rates, self.options, is_high_snr=is_high_snr)

    def _index_accuracies(self, space: IndexSpace) -> FloatArray:
        """Accuracies of entries as answers: of their cells, where a transmitter decides the label first."""
        if space.is_projected:  # whose entries say nothing of images
            return np.ones(self.knowledge_base.num_entries, np.float32)
        features, newest = self.knowledge_base.features(), next(iter(self.knowledge_base.codebooks()), None)
        if not space.decides_label or newest is None or not newest.num_labelled_cells:
            return neighbour_accuracies(features, self.labels)
        cells = entry_cells(newest, features, self.labels)
        return np.asarray(newest.cell_accuracies[cells.coded], dtype=np.float32)

    def _entry_vectors(self, codec: NestedCodec) -> FloatArray:
        """The entries in the space that the codec encodes: features, or projected features."""
        if codec.entry.projection is None:
            return self.knowledge_base.features()
        return self.knowledge_base.projected(codec.projection_fingerprint)


def _of_earlier(detectors: Callable[[], Detectors], rate: Rate) -> MapDetector | LabelDetector:
    _log.info("an earlier codebook is still in use: computing its signals, if they are not there")
    try:
        return detectors()[rate]
    except EngineError as error:
        raise DecodeError(f"an earlier codebook cannot be served: {error}") from None
