"""The transmitter as one graph: the stages of each codec, and the slice of the codes that belongs to each rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from engines.graphs.compose import compose_transmitter
from engines.graphs.nested import nested_encoder
from engines.models.codecs import PerRateCodec
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from engines.models.nested_code import NestedCode
from semlink.iq import CodesFormat
from semlink.rates import Rate

__all__ = ["GraphCode", "TransmitterGraph", "transmitter_graph"]


@dataclass(frozen=True)
class GraphCode:
    """One code among the outputs of a graph.

    Attributes
    ----------
    codec : name in logs and results
    slices : position of each rate's codes along the second axis of the output
    fingerprints : fingerprint of frames at each rate
    """

    codec: str
    slices: Mapping[Rate, slice]
    fingerprints: Mapping[Rate, bytes]


@dataclass(frozen=True)
class TransmitterGraph:
    """A composed graph from an image to codes.

    Attributes
    ----------
    onnx : serialised model from `image` (batch, size, size, 3) uint8 to `codes` (batch, sum of n, 2)
    code : code for any SNR
    high_snr_code : code for receivers that report a high SNR; None if the codec has none
    weighs_noise : whether the receiver estimates the noise variance
    sends_codewords : whether images are sent as codewords, and not as an analog signal alone
    """

    onnx: bytes
    code: GraphCode
    high_snr_code: GraphCode | None
    weighs_noise: bool
    sends_codewords: bool


def transmitter_graph(
    model_set: ModelSet,
    rate: Rate,
    *,
    codec: str | KnowledgeBaseCodebook | None = None,
    codes_format: CodesFormat = CodesFormat.SC8,
    encoder: Path | onnx.ModelProto | None = None,
) -> TransmitterGraph:
    """Compose a codec: one graph for all rates of a nested code, one graph a rate for others.

    Parameters
    ----------
    codec : name of a codec of the set, or the codebook of `adapted`; the set's first codec if None
    encoder : the set's image encoder at another precision; the set's own file if None

    Raises
    ------
    ConfigError
        If the set has no codec of that name.
    ModelSetError, EngineError
        If a file is missing or altered, the codec lacks the rate, the codebook is for another image encoder, or the
        graphs do not fit together.
    """
    first = encoder or model_set.encoder_path
    if isinstance(codec, KnowledgeBaseCodebook):
        codec.require_encoder(model_set.encoder_fingerprint, source="adapted")
        return _nested_graph(first, codec.nested_code, codes_format)
    chosen = model_set.codec(codec)
    if isinstance(chosen, PerRateCodec):
        return _per_rate_graph(first, chosen, rate, codes_format)
    return _nested_graph(first, chosen.nested_code, codes_format)


def _per_rate_graph(
    encoder: Path | onnx.ModelProto, codec: PerRateCodec, rate: Rate, codes_format: CodesFormat
) -> TransmitterGraph:
    composed = compose_transmitter([encoder, codec.encoder_path(rate)], [rate], codes_format)
    code = GraphCode(codec.name, _slices([rate]), {rate: codec.fingerprint(rate)})
    return TransmitterGraph(composed, code, high_snr_code=None, weighs_noise=False, sends_codewords=False)


def _nested_graph(encoder: Path | onnx.ModelProto, code: NestedCode, codes_format: CodesFormat) -> TransmitterGraph:
    rates, shares = list(code.fingerprints), code.power_shares
    stages = [encoder, code.projection_path, nested_encoder(code.codebook, shares)]
    composed = compose_transmitter(
        [stage for stage in stages if stage is not None], rates, codes_format, num_codes=len(shares)
    )
    slices = _slices(rates)
    # All rates of the low-SNR code, then all of the high-SNR code.
    high_snr_slices = _slices(rates, start=slices[rates[-1]].stop)
    return TransmitterGraph(
        composed,
        GraphCode(code.name, slices, code.fingerprints),
        GraphCode(code.high_snr_name, high_snr_slices, code.high_snr_fingerprints)
        if code.high_snr_fingerprints
        else None,
        weighs_noise=True,
        sends_codewords=code.codebook.has_cells,
    )


def _slices(rates: Sequence[Rate], *, start: int = 0) -> dict[Rate, slice]:
    ends = (start + np.cumsum([rate.num_symbols for rate in rates])).tolist()
    return {rate: slice(end - rate.num_symbols, end) for rate, end in zip(rates, ends, strict=True)}
