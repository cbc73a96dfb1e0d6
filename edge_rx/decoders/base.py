"""What a receiver holds for each codec and rate: from received symbols to an entry of its knowledge base.

    received --hear--> heard --decode--> query --search--> entry, score

What is heard of a transmission is its own stream's, and in order; decoding and search take those of many
transmissions at once. The decoders of `edge_rx.decoders.feature` run a network and search features by cosine.
`SignalDecoder` compares signals: its search is the decoder. Which one a frame is for, its fingerprint says.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.codeword_search import CodewordSearch
from edge_rx.decoders.feature import Answer, Building, decoder_backend, feature_decoders, require_length
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.templates import SignalTemplates
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.approximate import SearchIndex
from edge_rx.kb.gpu_search import GpuSearch
from edge_rx.noise import NoiseEstimator, zero_forcing
from engines.models.codecs import NestedCodec, PerRateCodec
from engines.models.entry_codebook import index_fingerprint
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, DecodeError, KnowledgeBaseError
from semlink.iq import Symbols
from semlink.rates import RATES, Rate

__all__ = ["Answer", "Decoder", "Decoders", "Observation", "Query", "SignalDecoder"]

_log = logging.getLogger(__name__)

_UNASKED = "a code for clear channels, of which this receiver has told nobody; start it with --feedback"

Observation: TypeAlias = npt.NDArray[np.float32]
"""(batch, ...): what is left of transmissions when their channels are undone, as far as the host does it."""

Query: TypeAlias = Any
"""(batch, dim) float32, what transmissions ask the knowledge base: where the decoder's own search takes it from, an
array, or a `engines.backends.runner.DeviceView`."""


class Decoder(Protocol):
    """One codec at one rate, over one knowledge base."""

    @property
    def codec(self) -> str:
        """Its name."""
        ...

    def equalize(self, received: Symbols, *, num_pilots: int, noise: NoiseEstimator) -> Observation:
        """Undo the channel of one transmission, (1, ...).

        Parameters
        ----------
        received : (num_pilots + n,) complex64, pilots first, as heard
        noise : of the stream that it belongs to

        Raises
        ------
        DecodeError
            If the symbols are not this rate's, or say nothing.
        """
        ...

    def decode(self, observation: Observation) -> Query:
        """Make of what was heard of each transmission what to look for."""
        ...

    def search(self, query: Query) -> list[Answer | None]:
        """The answer to each; None to one that decoded to no direction."""
        ...


class SignalDecoder:
    """A search among what entries sound like: `nested` and `index`."""

    def __init__(self, codec: str, signals: MapDetector | CodewordSearch, rate: Rate) -> None:
        self.codec = codec
        self._signals, self._rate = signals, rate

    def equalize(self, received: Symbols, *, num_pilots: int, noise: NoiseEstimator) -> Observation:
        """Undo the gain that the pilots make likely, and estimate the noise."""
        require_length(received, self._rate, num_pilots)
        if not received[num_pilots:].any():
            raise DecodeError("symbols decode to no direction: nothing was heard")
        symbols, noise_variance = zero_forcing(received, num_pilots=num_pilots, estimator=noise)
        return self._signals.queries(symbols[None], np.array([noise_variance]))

    def decode(self, observation: Observation) -> Observation:
        """Leave it as it is: what was heard is what to look for."""
        return observation

    def search(self, query: Observation) -> list[Answer | None]:
        """The entries to answer with; see the searches for which those are, and what their scores say."""
        return [*self._signals.match(query)]


class Decoders:
    """All that a receiver can decode, by the fingerprint that frames carry.

    Everything is loaded when this is made: what is wrong with a model set stops a receiver at its
    start and not at the first frame.

    Parameters
    ----------
    name : whose they are, for messages
    decoders : by fingerprint
    unserved : codecs that are not served, and why; by the fingerprint of each of their rates
    """

    def __init__(
        self, name: str, decoders: Mapping[bytes, Decoder], *, unserved: Mapping[bytes, str] | None = None
    ) -> None:
        self._name = name
        self._decoders = dict(decoders)
        self._unserved = dict(unserved or {})

    @classmethod
    def of(
        cls,
        model_set: ModelSet,
        knowledge_base: KnowledgeBase,
        *,
        rates: Sequence[Rate] = RATES,
        backend: str = "auto",
        num_threads: int = 1,
        gpu: GpuSearch | None = None,
        batch: int = 1,
        engines: Path | None = None,
        building: Building = contextlib.nullcontext,
        with_high_snr_code: bool = False,
    ) -> Decoders:
        """Load every codec of a model set, and `index`, for one knowledge base.

        Parameters
        ----------
        rates : those to serve; at each, `nested` keeps 8 n bytes of keys an entry, up to its features' width,
            and once 4 bytes for each number of its features
        backend : of decoder networks, see `edge_rx.decoders.feature.decoder_backend`
        gpu : where to hold those keys and search; None for the CPU
        batch : frames of one decoder that may come together
        engines : where they are kept; beside the model set if None
        building : what engines are built within, where there are any; see `edge_rx.decoders.feature.Building`
        with_high_snr_code : also serve the high-SNR code of `nested`, which doubles the signals held for each rate;
            transmitters use it only when they receive reports

        Raises
        ------
        ModelSetError, EngineError
            If the set has no codec, a file is missing or altered, the backend cannot run it, or the GPU has no room.
        ConfigError
            If an index is asked for that nothing here is searched with, or TensorRT without a search on the GPU.
        """
        model_set.codec()  # a set without codecs says so
        # Also where no codec has a network: a wrong name is wrong there too.
        backend = decoder_backend(backend, gpu=gpu)
        decoders: dict[bytes, Decoder] = {}
        unserved: dict[bytes, str] = {}
        spaces = {model_set.encoder_fingerprint: "index"}
        for codec in model_set.codecs:
            served = [rate for rate in codec.rates if rate in rates]
            unserved |= {
                fingerprint: _other_rate(codec.name, rate)
                for rate in codec.rates
                if rate not in rates
                for fingerprint in codec.fingerprints(rate)
            }
            if isinstance(codec, PerRateCodec):
                decoders |= feature_decoders(
                    model_set,
                    codec,
                    served,
                    knowledge_base,
                    backend=backend,
                    num_threads=num_threads,
                    batch=batch,
                    engines=engines,
                    building=building,
                )
                continue
            own = {fingerprint: _UNASKED for rate in served for fingerprint in codec.fingerprints(rate)}
            try:
                vectors = _entry_vectors(codec, knowledge_base)
                decoders |= dict(
                    _signal_decoders(codec, vectors, served, num_threads, gpu, with_high_snr_code=with_high_snr_code)
                )
            except KnowledgeBaseError as error:
                _log.warning("%s is not served: %s", codec.name, error)
                unserved |= dict.fromkeys(own, f"{codec.name}: {error}")
                continue
            unserved |= own  # of which those that have a decoder never get here
            if codec.entry.projection is not None:
                spaces[codec.projection_fingerprint] = "index-labels"
        decoders |= dict(_index_decoders(knowledge_base, rates, spaces, num_threads, gpu))
        for space, name in spaces.items():
            for rate in RATES:
                if rate not in rates:
                    fingerprint = index_fingerprint(space, knowledge_base.fingerprint, rate)
                    unserved[fingerprint] = _other_rate(name, rate)
        _tell_what_is_exact(knowledge_base.search_index, decoders.values())
        return cls(model_set.name, decoders, unserved=unserved)

    def decoder(self, fingerprint: bytes) -> Decoder:
        """Give what decodes the frames of a fingerprint.

        Raises
        ------
        DecodeError
            If this receiver does not hold the models that made them.
        """
        found = self._decoders.get(fingerprint)
        if found is not None:
            return found
        if fingerprint in self._unserved:
            raise DecodeError(f"codec not served: {self._unserved[fingerprint]}")
        raise DecodeError(
            f'unknown models: the frame was made with {fingerprint.hex()}, model set "{self._name}" holds'
            f" {len(self._decoders)} others; give both ends the same model set, and a transmitter with --keys the keys"
            " of this knowledge base: semlink kb export-keys"
        )


def _tell_what_is_exact(index: SearchIndex, decoders: Collection[Decoder]) -> None:
    """Say for whom an approximate index is not; refuse it where it is for nobody."""
    if index is SearchIndex.FLAT:
        return
    # Energies and priors are coordinates of signals, of another scale than the rest: no list or graph keeps together
    # what is likely together.
    exact = sorted({decoder.codec for decoder in decoders if isinstance(decoder, SignalDecoder)})
    if all(isinstance(decoder, SignalDecoder) for decoder in decoders):
        raise ConfigError(
            f"--search-index {index.value} is for codecs that search features, and {', '.join(exact)} search signals;"
            " --search-index flat"
        )
    _log.warning("search index %s: for features alone; %s search signals, all of them", index.value, ", ".join(exact))


def _other_rate(codec: str, rate: Rate) -> str:
    return f"{codec} at {rate.num_symbols} symbols: this receiver was told to serve other rates, with --rate"


def _entry_vectors(codec: NestedCodec, knowledge_base: KnowledgeBase) -> npt.NDArray[np.float32]:
    """What a codec's receiver compares: features, or the keys that the knowledge base holds of it."""
    if codec.entry.projection is None:
        return knowledge_base.features()
    return knowledge_base.keys(codec.projection_fingerprint)


def _signal_decoders(
    codec: NestedCodec,
    vectors: npt.NDArray[np.float32],
    rates: Sequence[Rate],
    num_threads: int,
    gpu: GpuSearch | None,
    *,
    with_high_snr_code: bool,
) -> Iterator[tuple[bytes, Decoder]]:
    """`nested` at every rate, as it is sent without reports, and to a receiver that reports a clear channel."""
    codes = {codec.name: codec.codebook}
    if with_high_snr_code and codec.codebook.has_high_snr_code:
        codes[codec.high_snr_name] = codec.codebook.for_high_snr()
    for (name, _), templates in zip(codes.items(), SignalTemplates.of_codes([*codes.values()], vectors), strict=True):
        for rate, search in MapDetector.of_rates(templates, rates, num_threads=num_threads, gpu=gpu).items():
            yield codec.fingerprint(rate, is_high_snr=name == codec.high_snr_name), SignalDecoder(name, search, rate)


def _index_decoders(
    knowledge_base: KnowledgeBase,
    rates: Sequence[Rate],
    spaces: Mapping[str, str],
    num_threads: int,
    gpu: GpuSearch | None,
) -> Iterator[tuple[bytes, Decoder]]:
    """`index` at every rate; in whichever space a transmitter found the entry, its codeword is the same."""
    fingerprint = knowledge_base.fingerprint
    for rate in rates:
        search = CodewordSearch(fingerprint, knowledge_base.num_entries, rate, num_threads=num_threads, gpu=gpu)
        for space, codec in spaces.items():
            yield index_fingerprint(space, fingerprint, rate), SignalDecoder(codec, search, rate)
