"""The transmitter's graphs without the image encoder, which takes a hundred times as long."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engines.codecs import Codec, NestedCodec
from engines.compose import iq_head
from engines.nested_graph import nested_encoder
from engines.runner import GraphRunner, load_runner
from semlink.iq import IQCodes
from semlink.rates import Rate

__all__ = ["codec_encoder", "codec_graphs", "unit_features"]


def unit_features() -> np.ndarray:
    """(1, 512) float32 of unit length; the time does not depend on what they are."""
    features = np.random.default_rng(0).standard_normal((1, 512)).astype(np.float32)
    return features / np.linalg.norm(features)


def codec_encoder(codec: Codec, rate: Rate) -> GraphRunner:
    """Features -> latent: of one rate, or of all at once."""
    if isinstance(codec, NestedCodec):
        return load_runner(nested_encoder(codec.codebook).SerializeToString())
    return codec.load_encoder(rate)


def codec_graphs(codec: Codec, rate: Rate) -> Callable[[np.ndarray], IQCodes]:
    """Features (1, 512) -> codes (n, 2); `nested` makes those of every rate, of which one is taken."""
    encoder = codec_encoder(codec, rate)
    rates = codec.rates if isinstance(codec, NestedCodec) else (rate,)
    head = load_runner(iq_head(rates).SerializeToString())
    end = int(np.cumsum([each.num_symbols for each in rates])[rates.index(rate)])
    return lambda features: head(encoder(features))[0, end - rate.num_symbols : end]
