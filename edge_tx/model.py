"""Models of a transmitter: from a preprocessed image to I/Q codes.

GraphModel   image --composed graph--> codes of all its rates               kbsc, nested codes, adapted
IndexModel   image --encoder--> vector --nearest entry--> codeword          index
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from engines.backends.runner import BuildProgress, GraphRunner
from engines.models.codecs import NestedCodec
from engines.models.entry_codebook import EntryCodebook, entry_codewords
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from engines.options import DEFAULT_OPTIONS, EngineOptions
from semlink.errors import EngineError, ModelSetError
from semlink.image import Preprocessing
from semlink.iq import CodesFormat, IQCodes, pair_latent, quantize
from semlink.rates import RATES, Rate

if TYPE_CHECKING:
    from engines.graphs.transmitter import GraphCode

__all__ = [
    "EXPORT_CODEBOOK",
    "GraphModel",
    "IndexModel",
    "TransmitterModel",
    "load_codebook",
    "load_index_model",
    "load_transmitter_model",
]

EXPORT_CODEBOOK = "semlink kb export-codebook KB --out FILE"
"""Command that makes the file of `load_codebook`."""

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

    @property
    def sends_codewords(self) -> bool:
        """Whether images are sent as codewords, which take less capacity than an analog signal alone."""
        ...

    @property
    def for_high_snr(self) -> TransmitterModel | None:
        """The high-SNR code, for receivers that report a high SNR; None if the codec has none."""
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
    sends_codewords: bool
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
    sends_codewords: bool = True
    for_high_snr: None = None

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
    codec: str | KnowledgeBaseCodebook | None = None,
    codes_format: CodesFormat = CodesFormat.SC8,
    on_progress: BuildProgress | None = None,
) -> GraphModel:
    """Compose and load a codec: a nested code with all its rates, which one engine serves, others with one rate.

    Parameters
    ----------
    codec : name of a codec of the set, or the codebook of `adapted`; the set's first codec if None

    Raises
    ------
    ConfigError
        If the set has no codec of that name.
    ModelSetError, EngineError
        If a file is missing or altered, the codec lacks the rate, the codebook is for another image encoder, the
        backend cannot run it, or int8 was not built or not verified on this processor.
    """
    # onnx takes longer to import than all other modules here together, and is needed once.
    from engines.factory import EngineFactory

    factory = EngineFactory(model_set, options, codes_format=codes_format)
    factory.require_verified()
    composed = factory.transmitter_graph(rate, codec=codec)
    graph = factory.load(composed.onnx, on_progress=on_progress)

    def model_of(code: GraphCode, for_high_snr: GraphModel | None) -> GraphModel:
        return GraphModel(
            codec=code.codec,
            graph=graph,
            slices=code.slices,
            fingerprints=code.fingerprints,
            preprocessing=model_set.manifest.encoder.preprocessing,
            codes_format=codes_format,
            weighs_noise=composed.weighs_noise,
            sends_codewords=composed.sends_codewords,
            for_high_snr=for_high_snr,
        )

    high_snr = model_of(composed.high_snr_code, None) if composed.high_snr_code else None
    return model_of(composed.code, high_snr)


def load_codebook(path: Path, model_set: ModelSet) -> KnowledgeBaseCodebook:
    """Read the codebook of `adapted`.

    Raises
    ------
    ModelSetError
        If the file is missing, damaged or oversized, or the codebook is for another image encoder than the set's.
    """
    try:
        codebook = KnowledgeBaseCodebook.load(path)
    except ModelSetError as error:
        raise ModelSetError(f"{error}; export it from the knowledge base: {EXPORT_CODEBOOK}") from None
    codebook.require_encoder(model_set.encoder_fingerprint, source=str(path))
    return codebook


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
        fingerprints={rate: entries.fingerprint(rate) for rate in RATES},
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
