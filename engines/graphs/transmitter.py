"""The transmitter as one graph: which stages a codec has, and where in the codes each rate's are."""

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
    """A composed graph from picture to codes.

    Attributes
    ----------
    codec : whose codes they are
    onnx : serialised model from `image` (batch, size, size, 3) uint8 to `codes` (batch, sum of n, 2)
    slices : where in the codes each rate's are
    clear_places : the same of the code for a clear channel; empty if there is none
    """

    codec: Codec
    onnx: bytes
    slices: Mapping[Rate, slice]
    clear_places: Mapping[Rate, slice]


def transmitter_graph(
    model_set: ModelSet,
    rate: Rate,
    *,
    codec: str | None = None,
    codes_format: CodesFormat = CodesFormat.SC8,
    encoder: Path | onnx.ModelProto | None = None,
) -> TransmitterGraph:
    """Compose a codec: `nested` with all its rates, which one engine serves, others with one rate.

    Parameters
    ----------
    codec : its name; the set's first if None
    encoder : the set's at another precision; as it is if None

    Raises
    ------
    ConfigError
        If the set has no codec of that name.
    ModelSetError, EngineError
        If a file is missing or altered, the codec lacks the rate, or the graphs do not fit together.
    """
    chosen = model_set.codec(codec)
    chosen.fingerprint(rate)  # a rate that it lacks is said before anything is loaded
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
    # All rates of the one code, then all of the other.
    clear_places = {
        rate: slice(ends[-1] + codes_slice.start, ends[-1] + codes_slice.stop) for rate, codes_slice in slices.items()
    }
    return TransmitterGraph(
        codec=chosen,
        onnx=composed,
        slices=slices,
        clear_places=clear_places if num_codes == 2 else {},
    )
