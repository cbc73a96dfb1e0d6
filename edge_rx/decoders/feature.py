"""Decoders with a network and a search for the nearest features: `kbsc`.

`GraphDecoder` runs the network on the CPU. `GpuDecoder` runs one graph from symbols to a query of unit length on the
GPU, whose search reads the query in device memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.base import Candidate, Observation, Query, check_length, host_query
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.signal import with_one_pilot
from edge_rx.equalizer import equalize_phase
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.gpu_search import GpuSearch
from edge_rx.noise import NoiseEstimator, equalize_and_estimate
from engines.backends.runner import DeviceRunner, DeviceView, GraphRunner
from engines.backends.target import choose_target
from engines.models.arrays import FloatArray
from engines.models.codecs import PerRateCodec
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, EngineError, KnowledgeBaseError
from semlink.frame import MAX_PILOTS
from semlink.iq import CodesFormat, Symbols, unpair_symbols
from semlink.rates import Rate

__all__ = ["GpuDecoder", "GraphDecoder", "decoder_backend", "feature_decoders"]


class SignalConfidence(Protocol):
    """What estimates the probability of an answer from the received symbols: a detector of the codec's signals."""

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> FloatArray:
        """(batch, width) float32, of equalised symbols."""
        ...

    def confidences(self, queries: FloatArray, entries: npt.NDArray[np.int64]) -> list[float]:
        """Probability of each of (batch,) answers."""
        ...


class GraphDecoder:
    """A decoder network and a search on the host.

    The constructor runs both once, so that the first frame is as fast as the rest.

    Parameters
    ----------
    codec : name of the codec
    graph : received latent (batch, 2 n) -> query (batch, feature_dim)
    confidence : of the answers
    """

    def __init__(
        self, codec: str, graph: GraphRunner, rate: Rate, knowledge_base: KnowledgeBase, confidence: SignalConfidence
    ) -> None:
        self.codec = codec
        graph(np.zeros((1, rate.latent_dim), dtype=np.float32))
        knowledge_base.search(np.ones((1, knowledge_base.manifest.feature_dim), dtype=np.float32))
        self._graph, self._rate, self._knowledge_base = graph, rate, knowledge_base
        self._confidence, self._signals = confidence, np.empty((0, 0), np.float32)

    def equalize(self, received: Symbols, *, num_pilots: int, noise: NoiseEstimator) -> Observation:
        """Undo the phase that the pilots show: (1, 2 n + width), the network's input and the query for the confidence.

        The network has no input for the noise variance.
        """
        check_length(received, self._rate, num_pilots)
        latent = unpair_symbols(equalize_phase(received, num_pilots=num_pilots))[None]
        return np.hstack([latent, _signal_query(self._confidence, received, num_pilots, noise)])

    def decode(self, observation: Observation) -> Query:
        """Run the network: (batch, feature_dim). The search that follows is of the same images."""
        latent, self._signals = np.split(observation, [self._rate.latent_dim], axis=1)
        return self._graph(np.ascontiguousarray(latent))

    def search(self, query: Query) -> list[Candidate | None]:
        """The entries with the largest cosines, and those cosines."""
        vectors = host_query(query)
        try:
            return self._candidates(*self._knowledge_base.search(vectors))
        except KnowledgeBaseError:
            # The search checks all queries before it starts; which one has no direction is determined only here.
            has_direction = np.asarray(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1))
            if has_direction.all():
                raise
        entry_ids, scores = self._knowledge_base.search(np.where(has_direction[:, None], vectors, np.float32(1.0)))
        return self._candidates(np.where(has_direction[:, None], entry_ids, -1), scores)

    def _candidates(self, entry_ids: npt.NDArray[np.int64], scores: FloatArray) -> list[Candidate | None]:
        return _candidates(entry_ids, scores, self._confidence, self._signals)


class GpuDecoder:
    """A network and a search on one GPU; queries stay in its memory.

    Parameters
    ----------
    codec : name of the codec
    runner : pairs of reals (batch, MAX_PILOTS + n, 2) -> query of unit length (batch, feature_dim), NaN where it has no
        direction; see `engines.graphs.receiver`. Its batch is the largest that is decoded together
    knowledge_base : knowledge base that is searched on the same GPU
    confidence : of the answers, on the host
    """

    def __init__(
        self, codec: str, runner: DeviceRunner, rate: Rate, knowledge_base: KnowledgeBase, confidence: SignalConfidence
    ) -> None:
        self.codec = codec
        self._runner, self._rate, self._knowledge_base = runner, rate, knowledge_base
        self._inputs = np.zeros([axis or 1 for axis in runner.input.shape], np.float32)
        knowledge_base.search_on_device(runner.on_device(self._inputs).rows(1))
        self._confidence, self._signals = confidence, np.empty((0, 0), np.float32)

    def equalize(self, received: Symbols, *, num_pilots: int, noise: NoiseEstimator) -> Observation:
        """Arrange pilots and data as the graph reads them, and the query for the confidence; the graph equalises.

        Returns
        -------
        observation : (1, 2 (MAX_PILOTS + n) + width) float32
        """
        check_length(received, self._rate, num_pilots)
        pairs = unpair_symbols(received).reshape(-1, 2)
        observation = np.zeros((1, *self._inputs.shape[1:]), np.float32)
        observation[0, :num_pilots], observation[0, MAX_PILOTS:] = pairs[:num_pilots], pairs[num_pilots:]
        return np.hstack([observation.reshape(1, -1), _signal_query(self._confidence, received, num_pilots, noise)])

    def decode(self, observation: Observation) -> Query:
        """Run the graph; the query is valid until the next call, and the search that follows is of the same images."""
        if len(observation) > len(self._inputs):
            raise EngineError(
                f"{self.codec}: the engine decodes {len(self._inputs)} frames together, got {len(observation)}"
            )
        pairs, self._signals = np.split(observation, [self._inputs[0].size], axis=1)
        # Rows behind these still hold an earlier batch; they are computed again and ignored.
        self._inputs[: len(observation)] = pairs.reshape(len(observation), *self._inputs.shape[1:])
        return self._runner.on_device(self._inputs).rows(len(observation))

    def search(self, query: Query) -> list[Candidate | None]:
        """The entries with the largest cosines, and those cosines."""
        if not isinstance(query, DeviceView):
            raise EngineError(f"{self.codec}: the search on the GPU reads queries there, got an array of the host")
        return _candidates(*self._knowledge_base.search_on_device(query), self._confidence, self._signals)


def _signal_query(
    confidence: SignalConfidence, received: Symbols, num_pilots: int, noise: NoiseEstimator
) -> FloatArray:
    """The query for the confidence, (1, width)."""
    if num_pilots == 1:  # from which gain and noise cannot both be estimated
        return confidence.queries(*with_one_pilot(received))
    symbols, noise_variance = equalize_and_estimate(received, num_pilots=num_pilots, estimator=noise)
    return confidence.queries(symbols[None], np.array([noise_variance]))


def _candidates(
    entry_ids: npt.NDArray[np.int64], scores: FloatArray, confidence: SignalConfidence, signals: FloatArray
) -> list[Candidate | None]:
    """One candidate for each row; None where the search returned entry -1."""
    best = entry_ids[:, 0]
    confidences = confidence.confidences(signals, np.maximum(best, 0))
    found = zip(best.tolist(), scores[:, 0].tolist(), confidences, strict=True)
    return [Candidate(entry_id, score, each) if entry_id >= 0 else None for entry_id, score, each in found]


def decoder_backend(backend: str, *, gpu: GpuSearch | None) -> str:
    """Resolve the backend of networks: TensorRT only if the search is on the GPU too, and reads the query there.

    "auto" takes TensorRT there if it is installed and a driver responds, and logs the choice with the reason.

    Raises
    ------
    ConfigError
        If TensorRT is named and the search is on the CPU, or the backend is unknown or not for receivers.
    """
    if backend == "onnxruntime-tensorrt":
        raise ConfigError(
            "--backend onnxruntime-tensorrt is not for a receiver; choose from: auto, onnxruntime, tensorrt"
        )
    if gpu is not None:
        return choose_target(backend, is_one_image=True).backend
    if backend == "tensorrt":
        raise ConfigError("--backend tensorrt decodes for a search on the same GPU; add --device gpu")
    return choose_target(backend, "cpu", is_one_image=False).backend


def feature_decoders(
    model_set: ModelSet,
    codec: PerRateCodec,
    confidences: Mapping[Rate, SignalConfidence],
    knowledge_base: KnowledgeBase,
    options: DecoderOptions,
    *,
    backend: str,
) -> dict[bytes, GraphDecoder | GpuDecoder]:
    """Decoder of each rate, by the fingerprint of its frames.

    Parameters
    ----------
    confidences : of the answers at each rate that is served
    backend : that of `decoder_backend`
    """
    if backend != "tensorrt":
        graphs = {
            rate: codec.load_decoder(rate, backend=backend, num_threads=options.num_threads) for rate in confidences
        }
        return {
            codec.fingerprint(rate): GraphDecoder(codec.name, graph, rate, knowledge_base, confidences[rate])
            for rate, graph in graphs.items()
        }
    # Imported here: a receiver without a GPU needs neither onnx nor TensorRT's requirements.
    from engines.backends.tensorrt.runner import TensorRtRunner
    from engines.encoder_precision import default_store
    from engines.graphs.receiver import compose_receiver

    decoders: dict[bytes, GraphDecoder | GpuDecoder] = {}
    store = default_store(model_set, options.engines)
    for rate, confidence in confidences.items():
        graph = compose_receiver(
            codec.decoder_path(rate),
            rate,
            feature_dim=model_set.feature_dim,
            num_pilots=MAX_PILOTS,
            # The host converts codes of every format to reals, so one engine serves all formats.
            codes_format=CodesFormat.CF32,
            batch=options.batch_size,
        )
        with options.building() as on_progress:
            runner = TensorRtRunner(
                graph,
                store=store,
                device_index=options.gpu.number if options.gpu else 0,
                stays_on_device=True,
                on_progress=on_progress,
            )
        decoders[codec.fingerprint(rate)] = GpuDecoder(codec.name, runner, rate, knowledge_base, confidence)
    return decoders
