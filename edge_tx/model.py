"""What turns a preprocessed picture into I/Q codes: one engine call, or an engine call and a look-up.

GraphModel   picture --composed graph--> codes of every rate it has      kbsc, nested
IndexModel   picture --encoder--> vector --nearest key--> codeword       index
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from engines.backends.runner import GraphRunner, Report
from engines.models.codecs import NestedCodec
from engines.models.entry_codebook import EntryCodebook, entry_codewords, index_fingerprint
from engines.models.model_set import ModelSet
from engines.options import DEFAULT_OPTIONS, EngineOptions
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
    slices : where in the codes each rate's are
    for_high_snr : the same graph's other code, for a receiver that reports a clear channel
    """

    codec: str
    graph: GraphRunner
    slices: Mapping[Rate, slice]
    fingerprints: Mapping[Rate, bytes]
    preprocessing: Preprocessing
    codes_format: CodesFormat
    weighs_noise: bool
    for_high_snr: GraphModel | None = None

    def codes(self, tensor: Tensor, rate: Rate) -> IQCodes:
        """See `TransmitterModel`; EngineError if the model gives no signal."""
        codes: IQCodes = self.graph(tensor[None])[0, self.slices[rate]]
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
    keys: EntryCodebook
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
    options: EngineOptions = DEFAULT_OPTIONS,
    *,
    codec: str | None = None,
    codes_format: CodesFormat = CodesFormat.SC8,
    report: Report | None = None,
) -> GraphModel:
    """Compose and load a codec: `nested` with all its rates, which one engine serves, others with one rate.

    Parameters
    ----------
    report : told of a build's progress, where an engine is to be built

    Raises
    ------
    ConfigError
        If the set has no codec of that name.
    ModelSetError, EngineError
        If a file is missing or altered, the codec lacks the rate, int8 was not built, or the backend cannot run it.
    """
    # onnx takes longer to import than everything else here together, and is needed once.
    from engines.factory import EngineFactory

    factory = EngineFactory(model_set, options, codes_format=codes_format)
    composed = factory.transmitter_graph(rate, codec=codec)
    chosen = composed.codec
    model = GraphModel(
        codec=chosen.name,
        graph=factory.load(composed.onnx, report=report),
        slices=composed.slices,
        fingerprints={rate: chosen.fingerprint(rate) for rate in composed.slices},
        preprocessing=model_set.manifest.encoder.preprocessing,
        codes_format=codes_format,
        weighs_noise=isinstance(chosen, NestedCodec),
    )
    if not composed.high_snr_slices or not isinstance(chosen, NestedCodec):
        return model
    fingerprints = {rate: chosen.fingerprint(rate, is_high_snr=True) for rate in composed.high_snr_slices}
    return replace(
        model,
        for_high_snr=replace(
            model, codec=chosen.high_snr_name, slices=composed.high_snr_slices, fingerprints=fingerprints
        ),
    )


def load_index_model(
    model_set: ModelSet,
    keys: EntryCodebook,
    options: EngineOptions = DEFAULT_OPTIONS,
    *,
    codes_format: CodesFormat = CodesFormat.SC8,
    report: Report | None = None,
) -> IndexModel:
    """Load what `index` needs: the image encoder, and the key network where the keys are of one.

    Parameters
    ----------
    report : told of a build's progress, where an engine is to be built

    Raises
    ------
    ModelSetError
        If the keys are of another encoder, or of a key network that the set does not have.
    """
    from engines.factory import EngineFactory

    name, behind = _space(model_set, keys.space)
    factory = EngineFactory(model_set, options)
    graph = factory.load(factory.vectors_graph(behind), report=report)
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


def _space(model_set: ModelSet, space: str) -> tuple[str, list[Path]]:
    """Name the codec that works in a space, and what comes behind the encoder to get there."""
    if space == model_set.encoder_fingerprint:
        return "index", []
    for codec in model_set.codecs:
        if not isinstance(codec, NestedCodec) or (network := codec.projection_path) is None:
            continue
        if codec.projection_fingerprint == space:
            return "index-labels", [network]
    raise ModelSetError(
        f'the keys were exported for other models than those of "{model_set.name}"; give the --model-set that the'
        " knowledge base was built with, or export them again: semlink kb export-keys"
    )
