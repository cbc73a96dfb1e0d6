"""Received symbols to queries: the codec decoders of one model set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.modelset import ModelSet
from engines.runner import GraphRunner
from semlink.errors import DecodeError, ModelSetError
from semlink.iq import Symbols, unpair_symbols
from semlink.rates import Rate

__all__ = ["CodecDecoder", "Query"]

Query = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _RateDecoder:
    rate: Rate
    graph: GraphRunner


class CodecDecoder:
    """Decodes the frames of one model set, all of its rates.

    The graphs are loaded, and run once, when this is made: what is wrong with a model set stops
    a receiver at its start and not at the first frame, and the first frame is as fast as the rest.

    Parameters
    ----------
    model_set : whose decoders to hold
    backend, num_threads : see `engines.runner.load_runner`

    Raises
    ------
    ModelSetError, EngineError
        If the set has no codec, a file is missing or altered, or the backend cannot run it.
    """

    def __init__(self, model_set: ModelSet, *, backend: str = "auto", num_threads: int = 1) -> None:
        if not model_set.rates:
            raise ModelSetError(f'model set "{model_set.manifest.name}" has no codec; a receiver needs a set with one')
        self._name = model_set.manifest.name
        self._decoders: dict[bytes, _RateDecoder] = {}
        for rate in model_set.rates:
            graph = model_set.load_codec_decoder(rate, backend=backend, num_threads=num_threads)
            graph(np.zeros((1, rate.latent_dim), dtype=np.float32))
            self._decoders[model_set.fingerprint(rate)] = _RateDecoder(rate, graph)

    def require(self, fingerprint: bytes) -> None:
        """Refuse a frame that this set's models did not make.

        Raises
        ------
        DecodeError
            If this set does not hold the models of that fingerprint.
        """
        if fingerprint not in self._decoders:
            held = ", ".join(held.hex() for held in self._decoders)
            raise DecodeError(
                f"unknown models: the frame was made with {fingerprint.hex()},"
                f' model set "{self._name}" holds {held}; give both ends the same model set'
            )

    def decode(self, symbols: Symbols, *, fingerprint: bytes) -> Query:
        """Map one transmission to the query that it stands for.

        Parameters
        ----------
        symbols : (n,) complex64, equalised data symbols
        fingerprint : 16 bytes, the models that made them

        Returns
        -------
        query : (feature_dim,) float32, finite and not zero; its length means nothing

        Raises
        ------
        DecodeError
            If this set does not hold those models, n is not their rate's, or the symbols decode
            to no direction.
        """
        self.require(fingerprint)
        decoder = self._decoders[fingerprint]
        if symbols.shape != (decoder.rate.num_symbols,):
            raise DecodeError(
                f"symbols do not fit their models: received {symbols.shape},"
                f" rate {decoder.rate.name} has ({decoder.rate.num_symbols},)"
            )
        query: Query = decoder.graph(unpair_symbols(symbols)[None])[0]
        if not np.isfinite(query).all() or not query.any():
            raise DecodeError("symbols decode to no direction: the query is zero or not finite")
        return query
