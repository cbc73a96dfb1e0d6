"""Decoders with a network in front of the search for the nearest features: `kbsc`.

`GraphDecoder` runs the network on the CPU. `GpuDecoder` runs all from symbols to a query of unit length as one graph on
the GPU, and the search there takes the query from where it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edge_rx.equalizer import equalize_phase
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.gpu_search import GpuSearch
from edge_rx.noise import NoiseEstimator
from engines.backends.runner import DeviceRunner, DeviceView, GraphRunner, Report
from engines.backends.target import choose_target
from engines.models.arrays import FloatArray
from engines.models.codecs import PerRateCodec
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, DecodeError, EngineError, KnowledgeBaseError
from semlink.frame import MAX_PILOTS
from semlink.iq import CodesFormat, Symbols, unpair_symbols
from semlink.rates import Rate

__all__ = ["Answer", "Building", "GpuDecoder", "GraphDecoder", "decoder_backend", "feature_decoders", "require_length"]

Answer: TypeAlias = tuple[int, float]
"""Entry id of the best match, and its score in -1 .. 1."""

Building: TypeAlias = Callable[[], AbstractContextManager[Report | None]]
"""What an engine is built within, such as `engines.build_progress.build_progress`."""


class GraphDecoder:
    """A decoder network, and the features of a knowledge base.

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

    def equalize(self, received: Symbols, *, num_pilots: int, noise: NoiseEstimator) -> FloatArray:
        """Turn back by the pilots' phase, (1, 2 n); the network knows no noise."""
        require_length(received, self._rate, num_pilots)
        return unpair_symbols(equalize_phase(received, num_pilots=num_pilots))[None]

    def decode(self, observation: FloatArray) -> FloatArray:
        """Run the network: (batch, feature_dim)."""
        return self._graph(observation)

    def search(self, query: FloatArray) -> list[Answer | None]:
        """The entries of the largest cosines, and those cosines."""
        try:
            return _answers(*self._knowledge_base.search(query))
        except KnowledgeBaseError:
            # The search looks at every query before it starts, so who it was is asked only where there is one.
            has_direction = np.asarray(np.isfinite(query).all(axis=1) & query.any(axis=1))
            if has_direction.all():
                raise
        entry_ids, scores = self._knowledge_base.search(np.where(has_direction[:, None], query, np.float32(1.0)))
        return _answers(np.where(has_direction[:, None], entry_ids, -1), scores)


class GpuDecoder:
    """A network and a search of features on one GPU, between which the query stays there.

    Parameters
    ----------
    codec : its name
    runner : pairs of reals (batch, MAX_PILOTS + n, 2) -> query of unit length (batch, feature_dim), NaN for what has no
        direction; see `engines.graphs.receiver`. Its batch is the most that is decoded together
    knowledge_base : searched on the same GPU
    """

    def __init__(self, codec: str, runner: DeviceRunner, rate: Rate, knowledge_base: KnowledgeBase) -> None:
        self.codec = codec
        self._runner, self._rate, self._knowledge_base = runner, rate, knowledge_base
        self._taken = np.zeros([axis or 1 for axis in runner.input.shape], np.float32)
        knowledge_base.search_on_device(runner.on_device(self._taken).rows(1))

    def equalize(self, received: Symbols, *, num_pilots: int, noise: NoiseEstimator) -> FloatArray:
        """Put pilots and data in their places, (1, MAX_PILOTS + n, 2); the graph does the rest."""
        require_length(received, self._rate, num_pilots)
        pairs = unpair_symbols(received).reshape(-1, 2)
        observation = np.zeros((1, *self._taken.shape[1:]), np.float32)
        observation[0, :num_pilots], observation[0, MAX_PILOTS:] = pairs[:num_pilots], pairs[num_pilots:]
        return observation

    def decode(self, observation: FloatArray) -> DeviceView:
        """Run the graph; the query stands until the next call."""
        if len(observation) > len(self._taken):
            raise EngineError(
                f"{self.codec}: the engine decodes {len(self._taken)} frames together, got {len(observation)}"
            )
        # What is left of an earlier batch behind these is computed again, and not looked at.
        self._taken[: len(observation)] = observation
        return self._runner.on_device(self._taken).rows(len(observation))

    def search(self, query: DeviceView) -> list[Answer | None]:
        """The entries of the largest cosines, and those cosines."""
        return _answers(*self._knowledge_base.search_on_device(query))


def _answers(entry_ids: npt.NDArray[np.int64], scores: FloatArray) -> list[Answer | None]:
    """One for each row; none where the search found entry -1, which is nothing."""
    found = zip(entry_ids[:, 0].tolist(), scores[:, 0].tolist(), strict=True)
    return [answer if answer[0] >= 0 else None for answer in found]


def decoder_backend(backend: str, *, gpu: GpuSearch | None) -> str:
    """What runs the networks: TensorRT only where the search is on the GPU too, and takes the query from there.

    "auto" takes it there if it is installed and a driver answers, and logs what it took, and why.

    Raises
    ------
    ConfigError
        If TensorRT is named and the search is on the CPU, or a backend that no receiver has, or none of that name.
    """
    if backend == "onnxruntime-tensorrt":
        raise ConfigError(
            "--backend onnxruntime-tensorrt is not for a receiver; choose from: auto, onnxruntime, tensorrt"
        )
    if gpu is not None:
        return choose_target(backend, is_one_image=True).backend
    if backend == "tensorrt":
        raise ConfigError("--backend tensorrt decodes for a search on the same GPU; add --search-device gpu")
    return choose_target(backend, "cpu", is_one_image=False).backend


def feature_decoders(
    model_set: ModelSet,
    codec: PerRateCodec,
    rates: Sequence[Rate],
    knowledge_base: KnowledgeBase,
    *,
    backend: str,
    num_threads: int,
    batch: int,
    engines: Path | None = None,
    building: Building = contextlib.nullcontext,
) -> dict[bytes, GraphDecoder | GpuDecoder]:
    """A decoder for each rate, by the fingerprint of its frames.

    Parameters
    ----------
    backend : of `decoder_backend`
    batch : frames that are decoded together at most
    engines : where they are kept; beside the model set if None
    building : what engines are built within; it gives what is told how far the build is
    """
    if backend != "tensorrt":
        graphs = {rate: codec.load_decoder(rate, backend=backend, num_threads=num_threads) for rate in rates}
        return {
            codec.fingerprint(rate): GraphDecoder(codec.name, graph, rate, knowledge_base)
            for rate, graph in graphs.items()
        }
    # Here, because a receiver without a GPU needs neither onnx nor what TensorRT stands on.
    from engines.backends.tensorrt.runner import TensorRtRunner
    from engines.encoder_precision import default_store
    from engines.graphs.receiver import compose_receiver

    decoders: dict[bytes, GraphDecoder | GpuDecoder] = {}
    store = default_store(model_set, engines)
    for rate in rates:
        graph = compose_receiver(
            codec.decoder_path(rate),
            rate,
            feature_dim=model_set.feature_dim,
            num_pilots=MAX_PILOTS,
            # Frames of every format are decoded by one engine: the host makes reals of their codes.
            codes_format=CodesFormat.CF32,
            batch=batch,
        )
        with building() as report:
            runner = TensorRtRunner(graph, store=store, stays_on_device=True, report=report)
        decoders[codec.fingerprint(rate)] = GpuDecoder(codec.name, runner, rate, knowledge_base)
    return decoders


def require_length(received: Symbols, rate: Rate, num_pilots: int) -> None:
    """Refuse symbols of another rate."""
    if received.shape != (num_pilots + rate.num_symbols,):
        raise DecodeError(
            f"symbols do not fit their models: received {received.shape},"
            f" rate {rate.name} with {num_pilots} pilots has ({num_pilots + rate.num_symbols},)"
        )
