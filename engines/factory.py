"""From a model set and options to a loaded runner: joins backend, store, precision and graph."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engines.agreement import Verification
from engines.backends.runner import BuildProgress, GraphRunner, load_runner
from engines.backends.target import choose_target
from engines.best_precision import best_precision, is_fp16_built
from engines.encoder_precision import (
    build_encoder,
    default_store,
    encoder_graph,
    encoder_key,
    require_verified,
)
from engines.graphs.compose import Stage, compose_features
from engines.graphs.quantize import Tensor
from engines.graphs.transmitter import TransmitterGraph, transmitter_graph
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from engines.options import EngineOptions, Precision
from semlink.errors import ConfigError
from semlink.iq import CodesFormat
from semlink.rates import Rate

__all__ = ["EngineFactory"]

_log = logging.getLogger(__name__)


class EngineFactory:
    """Composes and loads one model set's graphs as options say, for one image at a time.

    Parameters
    ----------
    codes_format : codes of the transmitters; TensorRT has no 16-bit integers

    Attributes
    ----------
    target : backend and device that were named, or that "auto" selected
    store : store of the set's engines

    Raises
    ------
    ConfigError, EngineError
        If the backend is unknown, or lacks the codes format; see `engines.backends.target.choose_target`.
    """

    def __init__(
        self, model_set: ModelSet, options: EngineOptions, *, codes_format: CodesFormat = CodesFormat.SC8
    ) -> None:
        self._model_set, self._options, self._codes_format = model_set, options, codes_format
        backend = _backend_for(options.backend, codes_format)
        self.target = choose_target(backend, options.device, is_one_image=True)
        self.store = default_store(model_set, options.engines)

    def build_encoder(self, pictures: Sequence[Tensor] = (), *, rebuild: bool = False) -> None:
        """Rewrite the image encoder in its precision, and store it; see `engines.encoder_precision.build_encoder`."""
        build_encoder(
            self._model_set, self._options.precision, self.store, target=self.target, pictures=pictures, rebuild=rebuild
        )

    @property
    def is_encoder_built(self) -> bool:
        """Whether the store has the image encoder in its precision."""
        return self.store.find(encoder_key(self._model_set, self._options.precision, self.target)) is not None

    def require_verified(self) -> None:
        """Refuse int8 that was not verified on this processor; see `engines.encoder_precision.require_verified`."""
        require_verified(self._model_set, self._options.precision, self.store, target=self.target)

    def best_precision(self) -> tuple[Precision, str]:
        """Choose a precision in place of the options'; see `engines.best_precision`."""
        return best_precision(self._model_set, self.store, target=self.target)

    @property
    def is_fp16_built(self) -> bool:
        """Whether fp16 was built for this target; see `engines.best_precision.is_fp16_built`."""
        return is_fp16_built(self._model_set, self.store, self.target)

    def at(self, precision: Precision) -> EngineFactory:
        """Make the factory of another precision, for the same target."""
        backend, device = self.target.backend, str(self.target.device)
        options = replace(self._options, backend=backend, device=device, precision=precision)
        return EngineFactory(self._model_set, options, codes_format=self._codes_format)

    def record(self, verification: Verification) -> None:
        """Keep a verification of int8 beside it; other precisions mean the same everywhere, and have no record."""
        if self._options.precision is Precision.INT8:
            self.store.record(encoder_key(self._model_set, Precision.INT8, self.target), verification)

    def transmitter_graph(self, rate: Rate, *, codec: str | KnowledgeBaseCodebook | None = None) -> TransmitterGraph:
        """Compose a codec behind the encoder; see `engines.graphs.transmitter`."""
        return transmitter_graph(
            self._model_set,
            rate,
            codec=codec,
            codes_format=self._codes_format,
            encoder=self._encoder(),
        )

    def vectors_graph(self, behind: Sequence[Path] = ()) -> bytes:
        """Compose the encoder and graphs behind it, such as a projection head; see `engines.graphs.compose`."""
        return compose_features([self._encoder(), *behind])

    def load(self, graph: bytes, *, on_progress: BuildProgress | None = None, rebuild: bool = False) -> GraphRunner:
        """Load a graph that was composed here; see `engines.backends.runner.load_runner` for the other parameters."""
        return load_runner(
            graph,
            backend=self.target.backend,
            device=str(self.target.device),
            num_threads=self._options.num_threads,
            precision=self._options.precision.value,
            store=self.store,
            on_progress=on_progress,
            rebuild=rebuild,
        )

    def _encoder(self) -> Stage:
        return encoder_graph(self._model_set, self._options.precision, self.store, target=self.target)


def _backend_for(backend: str, codes_format: CodesFormat) -> str:
    if codes_format is CodesFormat.SC16 and backend == "tensorrt":
        raise ConfigError("TensorRT has no 16-bit integers: use --codes-format sc8, or --backend onnxruntime")
    if codes_format is CodesFormat.SC16 and backend == "auto":
        _log.info("backend auto: chose onnxruntime (TensorRT has no 16-bit integers)")
        return "onnxruntime"
    return backend
