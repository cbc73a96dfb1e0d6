"""The transmitter as one graph: the stages of each codec, and the slice of the codes that belongs to each rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from engines.graphs.compose import compose_transmitter
from engines.graphs.nested import nested_encoder
from engines.models.codecs import Codec, NestedCodec
from engines.models.model_set import ModelSet
from semlink.iq import CodesFormat
from semlink.rates import Rate

__all__ = ["TransmitterGraph", "transmitter_graph"]


@dataclass(frozen=True)
class TransmitterGraph:
    """A composed graph from an image to codes.

    Attributes
    ----------
    codec : codec that the graph ends in
    onnx : serialised model from `image` (batch, size, size, 3) uint8 to `codes` (batch, sum of n, 2)
    slices : position of each rate's codes along the second axis
    high_snr_slices : the same for the high-SNR code; empty if the codec has none
    """

    codec: Codec
    onnx: bytes
    slices: Mapping[Rate, slice]
    high_snr_slices: Mapping[Rate, slice]


def transmitter_graph(
    model_set: ModelSet,
    rate: Rate,
    *,
    codec: str | None = None,
    codes_format: CodesFormat = CodesFormat.SC8,
    encoder: Path | onnx.ModelProto | None = None,
) -> TransmitterGraph:
    """Compose a codec: one graph for all rates of `nested`, one graph a rate for others.

    Parameters
    ----------
    codec : its name; the set's first if None
    encoder : the set's image encoder at another precision; the set's own file if None

    Raises
    ------
    ConfigError
        If the set has no codec of that name.
    ModelSetError, EngineError
        If a file is missing or altered, the codec lacks the rate, or the graphs do not fit together.
    """
    chosen = model_set.codec(codec)
    chosen.fingerprint(rate)  # raises before anything is loaded if the codec lacks the rate
    first = encoder or model_set.encoder_path
    if isinstance(chosen, NestedCodec):
        rates = chosen.rates
        shares = [chosen.codebook.digital_power_share]
        if chosen.codebook.has_high_snr_code:
            shares.append(chosen.codebook.high_snr_digital_power_share)
        num_codes = len(shares)
        stages = [first, chosen.projection_path, nested_encoder(chosen.codebook, shares)]
    else:
        rates, num_codes = (rate,), 1
        stages = [first, chosen.encoder_path(rate)]
    composed = compose_transmitter(
        [stage for stage in stages if stage is not None], rates, codes_format, num_codes=num_codes
    )
    ends = np.cumsum([rate.num_symbols for rate in rates]).tolist()
    slices = {rate: slice(end - rate.num_symbols, end) for rate, end in zip(rates, ends, strict=True)}
    # All rates of the blind code, then all of the high-SNR code.
    high_snr_slices = {
        rate: slice(ends[-1] + codes_slice.start, ends[-1] + codes_slice.stop) for rate, codes_slice in slices.items()
    }
    return TransmitterGraph(
        codec=chosen,
        onnx=composed,
        slices=slices,
        high_snr_slices=high_snr_slices if num_codes == 2 else {},
    )
