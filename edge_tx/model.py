"""What turns a preprocessed picture into I/Q codes: one engine call, or an engine call and a look-up.

GraphModel   picture --composed graph--> codes of every rate it has      kbsc, nested
IndexModel   picture --encoder--> vector --nearest key--> codeword       index
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from engines.codecs import NestedCodec
from engines.entry_keys import EntryKeys, entry_codewords, index_fingerprint
from engines.modelset import ModelSet
from engines.runner import GraphRunner, load_runner
from semlink.errors import EngineError, ModelSetError
from semlink.image import Preprocessing
from semlink.iq import CodesFormat, IQCodes, pair_latent, quantize
from semlink.rates import RATES, Rate

__all__ = ["GraphModel", "IndexModel", "TransmitterModel", "load_index_model", "load_transmitter_model"]

Tensor: TypeAlias = npt.NDArray[np.uint8]
"""(size, size, 3): a picture as the encoder takes it."""


class TransmitterModel(Protocol):
    """A codec, ready to run."""

    @property
    def codec(self) -> str:
        """Its name."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """What pictures go through first."""
        ...

    @property
    def codes_format(self) -> CodesFormat:
        """Of the codes that it gives."""
        ...

    @property
    def fingerprints(self) -> Mapping[Rate, bytes]:
        """What the frames of each rate that it has carry."""
        ...

    @property
    def weighs_noise(self) -> bool:
        """Whether its receiver estimates the noise: then pilots are none, or at least two."""
        ...

    def codes(self, tensor: Tensor, rate: Rate) -> IQCodes:
        """(n, 2) codes of one picture at a rate; choosing another costs nothing."""
        ...


@dataclass(frozen=True)
class GraphModel:
    """A composed graph.

    Attributes
    ----------
    graph : (batch, size, size, 3) uint8 to (batch, sum of n, 2) codes: encoder, codec, unit power, quantization
    places : where in the codes each rate's are
    """

    codec: str
    graph: GraphRunner
    places: Mapping[Rate, slice]
    fingerprints: Mapping[Rate, bytes]
    preprocessing: Preprocessing
    codes_format: CodesFormat
    weighs_noise: bool

    def codes(self, tensor: Tensor, rate: Rate) -> IQCodes:
        """See `TransmitterModel`; EngineError if the model gives no signal."""
        codes: IQCodes = self.graph(tensor[None])[0, self.places[rate]]
        # Unit power leaves no room for silence: it is what a NaN becomes in the graph.
        if not codes.any():
            raise EngineError("the model gave no signal for a picture, so it is broken; fetch the model set again")
        return codes


@dataclass(frozen=True)
class IndexModel:
    """The receiver's keys, and the encoder that looks for the nearest of them.

    Attributes
    ----------
    graph : (batch, size, size, 3) uint8 to (batch, dim) float32, in the space of the keys
    """

    codec: str
    graph: GraphRunner
    keys: EntryKeys
    fingerprints: Mapping[Rate, bytes]
    preprocessing: Preprocessing
    codes_format: CodesFormat
    weighs_noise: bool = True

    def codes(self, tensor: Tensor, rate: Rate) -> IQCodes:
        """See `TransmitterModel`: the codeword of the nearest entry, of which each symbol has power 1."""
        entries = self.keys.nearest(self.graph(tensor[None]))
        codeword = entry_codewords(self.keys.knowledge_base, entries, rate)[0]
        return quantize(pair_latent(codeword), self.codes_format)


def load_transmitter_model(
    model_set: ModelSet,
    rate: Rate,
    *,
    codec: str | None = None,
    codes_format: CodesFormat = CodesFormat.SC8,
    backend: str = "auto",
    num_threads: int = 1,
) -> GraphModel:
    """Compose and load a codec: `nested` with all its rates, which one engine serves, others with one rate.

    Raises
    ------
    ModelSetError, EngineError
        If a file is missing or altered, the set lacks codec or rate, or the backend cannot run it.
    """
    # onnx takes longer to import than everything else here together, and is needed once.
    from engines.compose import compose_transmitter
    from engines.nested_graph import nested_encoder

    chosen = model_set.codec(codec)
    chosen.fingerprint(rate)  # a rate that it lacks is said before anything is loaded
    if isinstance(chosen, NestedCodec):
        rates = chosen.rates
        stages = [model_set.encoder_path, chosen.key_network_path, nested_encoder(chosen.codebook)]
    else:
        rates = (rate,)
        stages = [model_set.encoder_path, chosen.encoder_path(rate)]
    composed = compose_transmitter([stage for stage in stages if stage is not None], rates, codes_format)
    ends = np.cumsum([rate.num_symbols for rate in rates]).tolist()
    return GraphModel(
        codec=chosen.name,
        graph=load_runner(composed, backend=backend, num_threads=num_threads, is_one_image=True),
        places={rate: slice(end - rate.num_symbols, end) for rate, end in zip(rates, ends, strict=True)},
        fingerprints={rate: chosen.fingerprint(rate) for rate in rates},
        preprocessing=model_set.manifest.encoder.preprocessing,
        codes_format=codes_format,
        weighs_noise=isinstance(chosen, NestedCodec),
    )


def load_index_model(
    model_set: ModelSet,
    keys: EntryKeys,
    *,
    codes_format: CodesFormat = CodesFormat.SC8,
    backend: str = "auto",
    num_threads: int = 1,
) -> IndexModel:
    """Load what `index` needs: the image encoder, and the key network where the keys are of one.

    Raises
    ------
    ModelSetError
        If the keys are of another encoder, or of a key network that the set does not have.
    """
    name, graph = _space(model_set, keys.space, {"backend": backend, "num_threads": num_threads})
    dim = graph.output.shape[1]
    if dim != keys.codes.shape[1]:
        raise ModelSetError(f"the keys are of {keys.codes.shape[1]} numbers, {model_set.name} gives {dim}")
    return IndexModel(
        codec=name,
        graph=graph,
        keys=keys,
        fingerprints={rate: index_fingerprint(keys.space, keys.knowledge_base, rate) for rate in RATES},
        preprocessing=model_set.manifest.encoder.preprocessing,
        codes_format=codes_format,
    )


def _space(model_set: ModelSet, space: str, settings: Mapping[str, Any]) -> tuple[str, GraphRunner]:
    """Load the graph from picture to the vectors of a space, and name the codec that works in it."""
    if space == model_set.encoder_fingerprint:
        return "index", model_set.load_encoder(**settings)
    for codec in model_set.codecs:
        if not isinstance(codec, NestedCodec) or (network := codec.key_network_path) is None:
            continue
        if codec.keys_fingerprint == space:
            from engines.compose import compose_features

            composed = compose_features([model_set.encoder_path, network])
            return "index-labels", load_runner(composed, **settings)
    raise ModelSetError(
        f'the keys were exported for other models than those of "{model_set.name}"; give the --model-set that the'
        " knowledge base was built with, or export them again: semlink kb export-keys"
    )
