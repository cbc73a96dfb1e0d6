"""All decoders of a receiver, by the fingerprint in a frame."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from edge_rx.decoders.base import Decoder
from edge_rx.decoders.codecs import IndexSpace, SignalCodecs
from edge_rx.decoders.feature import decoder_backend, feature_decoders
from edge_rx.decoders.label_detector import LabelDetector
from edge_rx.decoders.options import DEFAULT_DECODER_OPTIONS, DecoderOptions
from edge_rx.decoders.signal import SignalDecoder
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.approximate import SearchIndex
from engines.models.codecs import Codec, NestedCodec, PerRateCodec
from engines.models.knowledge_base_codebook import ADAPTED, ADAPTED_HIGH_SNR, KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, DecodeError, KnowledgeBaseError
from semlink.rates import RATES, Rate

__all__ = ["Decoders"]

_log = logging.getLogger(__name__)

_NEEDS_REPORTS = "a code for high SNR, which this receiver asked nobody to send; start it with --feedback"


class Decoders:
    """Decoders by fingerprint, all loaded at construction, so that a damaged model set fails a receiver's start.

    Parameters
    ----------
    name : name of the model set, for messages
    decoders : decoder of each fingerprint
    unserved : reason for each known fingerprint that is not served
    codebooks : codebooks of `adapted` that are decoded, the newest first
    """

    def __init__(
        self,
        name: str,
        decoders: Mapping[bytes, Decoder],
        *,
        unserved: Mapping[bytes, str] | None = None,
        codebooks: Sequence[KnowledgeBaseCodebook] = (),
    ) -> None:
        self.codebooks = tuple(codebooks)
        self._name = name
        self._decoders = dict(decoders)
        self._unserved = dict(unserved or {})

    @classmethod
    def of(
        cls, model_set: ModelSet, knowledge_base: KnowledgeBase, options: DecoderOptions = DEFAULT_DECODER_OPTIONS
    ) -> Decoders:
        """Load every codec of a model set, `adapted` and `index`, for one knowledge base.

        Raises
        ------
        KnowledgeBaseError
            If a codebook or the records of the knowledge base are damaged.
        ModelSetError, EngineError
            If the set has no codec, a file is missing or altered, the backend cannot run it, or the GPU has no room.
        ConfigError
            If an index is named that no codec here searches with, or TensorRT without a search on the GPU.
        """
        loader = _Loader(model_set, knowledge_base, options)
        for codec in model_set.codecs:
            loader.add(codec)
        loader.add_adapted()
        loader.add_index()
        _check_search_index(knowledge_base.search_index, loader.decoders.values())
        if options.gpu is not None and options.answer == "label" and any(loader.labels):
            _log.warning("labels are decided on the CPU; --answer nearest searches on the GPU")
        return cls(model_set.name, loader.decoders, unserved=loader.unserved, codebooks=loader.codebooks)

    def prepare(self) -> None:
        """Compute what the first frames need, seconds for large knowledge bases; frames are answered meanwhile too."""
        for decoder in self._decoders.values():
            if isinstance(decoder, SignalDecoder):
                decoder.prepare()

    def decoder(self, fingerprint: bytes) -> Decoder:
        """Return the decoder of a frame's fingerprint.

        Raises
        ------
        DecodeError
            If this receiver does not hold the models of the frame.
        """
        found = self._decoders.get(fingerprint)
        if found is not None:
            return found
        if fingerprint in self._unserved:
            raise DecodeError(f"codec not served: {self._unserved[fingerprint]}")
        raise DecodeError(
            f'unknown models: {fingerprint.hex()} is of no codec of model set "{self._name}", and of neither a codebook'
            " nor the entries of this knowledge base; give both ends the same --model-set, or a transmitter with"
            " --codebook or --entries a new file: semlink kb export-codebook, semlink kb export-entries"
        )


class _Loader:
    """Collects the decoders of a model set's codecs, and the reasons for those that are not served."""

    def __init__(self, model_set: ModelSet, knowledge_base: KnowledgeBase, options: DecoderOptions) -> None:
        model_set.codec()  # raises for a set without codecs
        # Checked for sets without networks too, since a wrong name is wrong there as well.
        self._backend = decoder_backend(options.backend, gpu=options.gpu)
        self._models, self._knowledge_base, self._options = model_set, knowledge_base, options
        self.labels = knowledge_base.entry_labels()
        self._signals = SignalCodecs(knowledge_base, self.labels, options)
        self._index_spaces = [
            IndexSpace("index", model_set.encoder_fingerprint, decides_label) for decides_label in (False, True)
        ]
        self.decoders: dict[bytes, Decoder] = {}
        self.unserved: dict[bytes, str] = {}
        self.codebooks: list[KnowledgeBaseCodebook] = []

    def add(self, codec: Codec) -> None:
        """Load one codec at the served rates."""
        served = [rate for rate in codec.rates if rate in self._options.rates]
        for rate in codec.rates:
            if rate not in served:
                self.unserved |= dict.fromkeys(codec.fingerprints(rate), _other_rate(codec.name, rate))
        if isinstance(codec, PerRateCodec):
            self._add_network(codec, served)
        else:
            self._add_nested(codec, served)

    def _add_network(self, codec: PerRateCodec, served: list[Rate]) -> None:
        """By label where entries have labels, from the encoder's signals; else by the decoder network's features."""
        detectors = self._signals.network(codec, served)
        by_label = {
            rate: search
            for rate, search in detectors.items()
            if isinstance(search, LabelDetector) and self._options.answer == "label"
        }
        if by_label and self._options.backend == "tensorrt":
            raise ConfigError(
                f"{codec.name}: TensorRT runs the decoder network, and answers by label need none; --answer nearest,"
                " or --backend onnxruntime"
            )
        self.decoders |= {
            codec.fingerprint(rate): SignalDecoder(codec.name, search, rate, takes_one_pilot=True)
            for rate, search in by_label.items()
        }
        self.decoders |= feature_decoders(
            self._models,
            codec,
            {rate: search for rate, search in detectors.items() if rate not in by_label},
            self._knowledge_base,
            self._options,
            backend=self._backend,
        )

    def _add_nested(self, codec: NestedCodec, served: list[Rate]) -> None:
        fingerprints = [fingerprint for rate in served for fingerprint in codec.fingerprints(rate)]
        try:
            loaded = dict(self._signals.nested(codec, served))
        except KnowledgeBaseError as error:
            _log.warning("%s is not served: %s", codec.name, error)
            self.unserved |= dict.fromkeys(fingerprints, f"{codec.name}: {error}")
            return
        self.decoders |= loaded
        self.unserved |= {fingerprint: _NEEDS_REPORTS for fingerprint in fingerprints if fingerprint not in loaded}
        if codec.entry.projection is not None:
            self._index_spaces.append(IndexSpace("index-labels", codec.projection_fingerprint, is_projected=True))

    def add_adapted(self) -> None:
        """Load `adapted` at the served rates, for every codebook of the knowledge base."""
        codebooks = self._knowledge_base.codebooks()
        if not codebooks:
            folder = self._knowledge_base.folder
            _log.warning(
                "%s is not served: the knowledge base has no codebook; semlink kb make-codebook %s", ADAPTED, folder
            )
            return
        served = [rate for rate in RATES if rate in self._options.rates]
        self.codebooks = codebooks
        self.decoders |= dict(self._signals.adapted(codebooks, served))
        for codebook in codebooks:
            for name in (ADAPTED, ADAPTED_HIGH_SNR):
                for rate, fingerprint in codebook.fingerprints(is_high_snr=name == ADAPTED_HIGH_SNR).items():
                    if fingerprint not in self.decoders:
                        self.unserved[fingerprint] = _NEEDS_REPORTS if rate in served else _other_rate(name, rate)

    def add_index(self) -> None:
        """Load `index` at the served rates, for every vector space in which entries are compared."""
        served = [rate for rate in RATES if rate in self._options.rates]
        self.decoders |= dict(self._signals.index(served, self._index_spaces))
        for space in self._index_spaces:
            for rate in RATES:
                if rate not in served:
                    fingerprint = space.fingerprint(self._knowledge_base.fingerprint, rate)
                    self.unserved[fingerprint] = _other_rate(space.codec, rate)


def _check_search_index(index: SearchIndex, decoders: Collection[Decoder]) -> None:
    """Log which codecs an approximate index does not apply to; ConfigError if it applies to none."""
    if index is SearchIndex.FLAT:
        return
    # A signal's energy and prior are coordinates on another scale than the rest, so neither lists nor graphs of
    # neighbours keep likely signals together.
    exact = sorted({decoder.codec for decoder in decoders if isinstance(decoder, SignalDecoder)})
    if all(isinstance(decoder, SignalDecoder) for decoder in decoders):
        raise ConfigError(
            f"--search-index {index.value} is for codecs that search features, and {', '.join(exact)} search signals;"
            " --search-index flat, or --answer nearest for codecs with a network"
        )
    _log.warning("search index %s: for features alone; %s search signals, all of them", index.value, ", ".join(exact))


def _other_rate(codec: str, rate: Rate) -> str:
    return f"{codec} at {rate.num_symbols} symbols: this receiver serves other rates; see its option --rate"
