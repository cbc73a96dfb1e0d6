"""Models of a transmitter: from a preprocessed image to I/Q codes.

GraphModel   image --composed graph--> codes of all its rates               kbsc, nested
IndexModel   image --encoder--> vector --nearest entry--> codeword          index
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from engines.backends.runner import BuildProgress, GraphRunner
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
"""(size, size, 3): input of the image encoder."""


class TransmitterModel(Protocol):
    """A loaded codec."""

    @property
    def codec(self) -> str:
        """Name of the codec."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing of images."""
        ...

    @property
    def codes_format(self) -> CodesFormat:
        """Format of the codes."""
        ...

    @property
    def fingerprints(self) -> Mapping[Rate, bytes]:
        """Fingerprint of frames at each rate of the model."""
        ...

    @property
    def weighs_noise(self) -> bool:
        """Whether the receiver estimates the noise variance, which needs no pilots or at least two."""
        ...

    def codes(self, tensor: Tensor, rate: Rate) -> IQCodes:
        """(n, 2) codes of one image at a rate; changing the rate costs nothing."""
        ...


@dataclass(frozen=True)
class GraphModel:
    """A composed graph.

    Attributes
    ----------
    graph : (batch, size, size, 3) uint8 to (batch, sum of n, 2) codes: encoder, codec, unit power, quantization
    slices : position of each rate's codes
    for_high_snr : the high-SNR code of the same graph, for receivers that report a high SNR
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
        """See `TransmitterModel`; EngineError if all codes are zero."""
        codes: IQCodes = self.graph(tensor[None])[0, self.slices[rate]]
        # Codes of unit power are never all zero, but the graph turns NaN into zeros.
        if not codes.any():
            raise EngineError(
                "the model output is zero for an image, so the model is damaged; fetch the model set again"
            )
        return codes


@dataclass(frozen=True)
class IndexModel:
    """An encoder, and the entry codebook in which it finds the nearest entry.

    Attributes
    ----------
    graph : (batch, size, size, 3) uint8 to (batch, dim) float32, in the space of the entries
    entries : the knowledge base's entries
    """

    codec: str
    graph: GraphRunner
    entries: EntryCodebook
    fingerprints: Mapping[Rate, bytes]
    preprocessing: Preprocessing
    codes_format: CodesFormat
    weighs_noise: bool = True

    def codes(self, tensor: Tensor, rate: Rate) -> IQCodes:
        """See `TransmitterModel`: the codeword of the nearest entry, with unit power in each symbol."""
        nearest = self.entries.nearest(self.graph(tensor[None]))
        codeword = entry_codewords(self.entries.knowledge_base, nearest, rate)[0]
        return quantize(pair_latent(codeword), self.codes_format)


def load_transmitter_model(
    model_set: ModelSet,
    rate: Rate,
    options: EngineOptions = DEFAULT_OPTIONS,
    *,
    codec: str | None = None,
    codes_format: CodesFormat = CodesFormat.SC8,
    on_progress: BuildProgress | None = None,
) -> GraphModel:
    """Compose and load a codec: `nested` with all its rates, which one engine serves, others with one rate.

    Raises
    ------
    ConfigError
        If the set has no codec of that name.
    ModelSetError, EngineError
        If a file is missing or altered, the codec lacks the rate, the backend cannot run it, or int8 was not built or
        not verified on this processor.
    """
    # onnx takes longer to import than all other modules here together, and is needed once.
    from engines.factory import EngineFactory

    factory = EngineFactory(model_set, options, codes_format=codes_format)
    factory.require_verified()
    composed = factory.transmitter_graph(rate, codec=codec)
    chosen = composed.codec
    model = GraphModel(
        codec=chosen.name,
        graph=factory.load(composed.onnx, on_progress=on_progress),
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
    entries: EntryCodebook,
    options: EngineOptions = DEFAULT_OPTIONS,
    *,
    codes_format: CodesFormat = CodesFormat.SC8,
    on_progress: BuildProgress | None = None,
) -> IndexModel:
    """Load the image encoder of `index`, and the projection head if the entries are projected vectors.

    Raises
    ------
    ModelSetError
        If the entries are of another encoder, or of a projection head that the set does not have.
    EngineError
        If int8 was not built or not verified on this processor.
    """
    from engines.factory import EngineFactory

    name, behind = _space(model_set, entries.space)
    factory = EngineFactory(model_set, options)
    factory.require_verified()
    graph = factory.load(factory.vectors_graph(behind), on_progress=on_progress)
    dim = graph.output.shape[1]
    if dim != entries.codes.shape[1]:
        raise ModelSetError(f"the entries have {entries.codes.shape[1]} dimensions, {model_set.name} has {dim}")
    return IndexModel(
        codec=name,
        graph=graph,
        entries=entries,
        fingerprints={rate: index_fingerprint(entries.space, entries.knowledge_base, rate) for rate in RATES},
        preprocessing=model_set.manifest.encoder.preprocessing,
        codes_format=codes_format,
    )


def _space(model_set: ModelSet, space: str) -> tuple[str, list[Path]]:
    """Name of the codec that compares vectors of a space, and the graphs behind the encoder."""
    if space == model_set.encoder_fingerprint:
        return "index", []
    for codec in model_set.codecs:
        if not isinstance(codec, NestedCodec) or (network := codec.projection_path) is None:
            continue
        if codec.projection_fingerprint == space:
            return "index-labels", [network]
    raise ModelSetError(
        f'the entry codebook was exported for other models than those of "{model_set.name}"; name the model set'
        " of the knowledge base, or export it again: semlink kb export-entries"
    )
