"""What a receiver holds for each codec and rate: from received symbols to an entry of its knowledge base.

    received --hear--> heard --decode--> query --search--> entry, score

What is heard of a transmission is its own stream's, and in order; decoding and search take those of many
transmissions at once. `GraphDecoder` runs a decoder network and searches features by cosine. `SignalDecoder`
compares signals: its search is the decoder. Which one a frame is for, its fingerprint says.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_rx.entry_sounds import EntrySounds
from edge_rx.equalizer import equalize
from edge_rx.index_search import IndexSearch
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.gpu_search import GpuSearch
from edge_rx.noise import NoiseEstimator, undo_gain
from edge_rx.signal_search import SignalSearch
from engines.codecs import NestedCodec, PerRateCodec
from engines.entry_keys import index_fingerprint
from engines.modelset import ModelSet
from engines.runner import GraphRunner
from semlink.errors import DecodeError, KnowledgeBaseError
from semlink.iq import Symbols, unpair_symbols
from semlink.rates import RATES, Rate

__all__ = ["Answer", "Decoder", "Decoders", "GraphDecoder", "Heard", "Query", "SignalDecoder"]

_log = logging.getLogger(__name__)

_UNASKED = "a code for clear channels, of which this receiver has told nobody; start it with --feedback"

Heard: TypeAlias = npt.NDArray[np.float32]
"""(batch, heard_dim): what is left of transmissions when their channels are undone."""

Query: TypeAlias = npt.NDArray[np.float32]
"""(batch, dim): what transmissions ask the knowledge base."""

Answer: TypeAlias = tuple[int, float]
"""Entry id of the best match, and its score in -1 .. 1."""


class Decoder(Protocol):
    """One codec at one rate, over one knowledge base."""

    @property
    def codec(self) -> str:
        """Its name."""
        ...

    def hear(self, received: Symbols, *, num_pilots: int, noise: NoiseEstimator) -> Heard:
        """Undo the channel of one transmission, (1, heard_dim).

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

    def decode(self, heard: Heard) -> Query:
        """Make of what was heard of each transmission what to look for."""
        ...

    def search(self, query: Query) -> list[Answer | None]:
        """The answer to each; None to one that decoded to no direction."""
        ...


class GraphDecoder:
    """A decoder network in front of the search for the nearest features: `kbsc`.

    Parameters
    ----------
    codec : its name
    graph : received latent (batch, 2 n) -> query (batch, feature_dim); run once here, as is the search, so that the
        first frame is as fast as the rest
    """

    def __init__(self, codec: str, graph: GraphRunner, rate: Rate, knowledge_base: KnowledgeBase) -> None:
        self.codec = codec
        graph(np.zeros((1, rate.latent_dim), dtype=np.float32))
        knowledge_base.search(np.ones((1, knowledge_base.manifest.feature_dim), dtype=np.float32))
        self._graph, self._rate, self._knowledge_base = graph, rate, knowledge_base

    def hear(self, received: Symbols, *, num_pilots: int, noise: NoiseEstimator) -> Heard:
        """Turn back by the pilots' phase; the network knows no noise."""
        _require_length(received, self._rate, num_pilots)
        return unpair_symbols(equalize(received, num_pilots=num_pilots))[None]

    def decode(self, heard: Heard) -> Query:
        """Run the network."""
        return self._graph(heard)

    def search(self, query: Query) -> list[Answer | None]:
        """The entries of the largest cosines, and those cosines."""
        has_direction = np.asarray(np.isfinite(query).all(axis=1) & query.any(axis=1))
        if not has_direction.all():
            # Any direction in its place: what is found there is not told.
            query = np.where(has_direction[:, None], query, np.float32(1.0))
        entry_ids, scores = self._knowledge_base.search(query)
        found = zip(entry_ids[:, 0].tolist(), scores[:, 0].tolist(), strict=True)
        return [answer if told else None for answer, told in zip(found, has_direction, strict=True)]


class SignalDecoder:
    """A search among what entries sound like: `nested` and `index`."""

    def __init__(self, codec: str, signals: SignalSearch | IndexSearch, rate: Rate) -> None:
        self.codec = codec
        self._signals, self._rate = signals, rate

    def hear(self, received: Symbols, *, num_pilots: int, noise: NoiseEstimator) -> Heard:
        """Undo the gain that the pilots make likely, and estimate the noise."""
        _require_length(received, self._rate, num_pilots)
        if not received[num_pilots:].any():
            raise DecodeError("symbols decode to no direction: nothing was heard")
        symbols, noise_variance = undo_gain(received, num_pilots=num_pilots, estimator=noise)
        return self._signals.queries(symbols[None], np.array([noise_variance]))

    def decode(self, heard: Heard) -> Query:
        """Leave it as it is: what was heard is what to look for."""
        return heard

    def search(self, query: Query) -> list[Answer | None]:
        """The entries to answer with; see the searches for which those are, and what their scores say."""
        return [*self._signals.match(query)]


def _require_length(received: Symbols, rate: Rate, num_pilots: int) -> None:
    if received.shape != (num_pilots + rate.num_symbols,):
        raise DecodeError(
            f"symbols do not fit their models: received {received.shape},"
            f" rate {rate.name} with {num_pilots} pilots has ({num_pilots + rate.num_symbols},)"
        )


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
        with_clear: bool = False,
    ) -> Decoders:
        """Load every codec of a model set, and `index`, for one knowledge base.

        Parameters
        ----------
        rates : those to serve; at each, `nested` keeps 8 n bytes of keys an entry, up to its features' width,
            and once 4 bytes for each number of its features
        gpu : where to hold those keys and search; None for the CPU
        with_clear : serve `nested` as it is sent to a receiver that reports a clear channel too, with as many keys at
            each rate again; without reports nobody sends it

        Raises
        ------
        ModelSetError, EngineError
            If the set has no codec, a file is missing or altered, the backend cannot run it, or the GPU has no room.
        """
        model_set.codec()  # a set without codecs says so
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
                for rate in served:
                    graph = codec.load_decoder(rate, backend=backend, num_threads=num_threads)
                    decoders[codec.fingerprint(rate)] = GraphDecoder(codec.name, graph, rate, knowledge_base)
                continue
            own = {fingerprint: _UNASKED for rate in served for fingerprint in codec.fingerprints(rate)}
            try:
                vectors = _entry_vectors(codec, knowledge_base)
                decoders |= dict(_signal_decoders(codec, vectors, served, num_threads, gpu, with_clear=with_clear))
            except KnowledgeBaseError as error:
                _log.warning("%s is not served: %s", codec.name, error)
                unserved |= dict.fromkeys(own, f"{codec.name}: {error}")
                continue
            unserved |= own  # of which those that have a decoder never get here
            if codec.entry.keys is not None:
                spaces[codec.keys_fingerprint] = "index-labels"
        decoders |= dict(_index_decoders(knowledge_base, rates, spaces, num_threads, gpu))
        for space, name in spaces.items():
            for rate in RATES:
                if rate not in rates:
                    fingerprint = index_fingerprint(space, knowledge_base.fingerprint, rate)
                    unserved[fingerprint] = _other_rate(name, rate)
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


def _other_rate(codec: str, rate: Rate) -> str:
    return f"{codec} at {rate.num_symbols} symbols: this receiver was told to serve other rates, with --rate"


def _entry_vectors(codec: NestedCodec, knowledge_base: KnowledgeBase) -> npt.NDArray[np.float32]:
    """What a codec's receiver compares: features, or the keys that the knowledge base holds of it."""
    if codec.entry.keys is None:
        return knowledge_base.features()
    return knowledge_base.keys(codec.keys_fingerprint)


def _signal_decoders(
    codec: NestedCodec,
    vectors: npt.NDArray[np.float32],
    rates: Sequence[Rate],
    num_threads: int,
    gpu: GpuSearch | None,
    *,
    with_clear: bool,
) -> Iterator[tuple[bytes, Decoder]]:
    """`nested` at every rate, as it is sent without reports, and to a receiver that reports a clear channel."""
    codes = {codec.name: codec.codebook}
    if with_clear and codec.codebook.has_clear_code:
        codes[codec.clear_name] = codec.codebook.for_clear_channel()
    for (name, _), sounds in zip(codes.items(), EntrySounds.of_codes([*codes.values()], vectors), strict=True):
        for rate, search in SignalSearch.of_rates(sounds, rates, num_threads=num_threads, gpu=gpu).items():
            yield codec.fingerprint(rate, is_clear=name == codec.clear_name), SignalDecoder(name, search, rate)


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
        search = IndexSearch(fingerprint, knowledge_base.num_entries, rate, num_threads=num_threads, gpu=gpu)
        for space, codec in spaces.items():
            yield index_fingerprint(space, fingerprint, rate), SignalDecoder(codec, search, rate)
