"""One transmission as a library call, batched: exactly what tx, channel and rx do to it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_rx.equalizer import derotate, equalize_phase
from engines.backends.runner import load_runner
from engines.models.codecs import PerRateCodec
from engines.models.image_encoder import Features
from semlink.channel import ChannelModel, apply_channel, paper_channel, pilot_symbols
from semlink.constellation import Constellation
from semlink.errors import ConfigError
from semlink.iq import CodesFormat, Symbols, dequantize, normalize_power, pair_latent, quantize, unpair_symbols
from semlink.rates import Rate
from trainer.codecs.config import TrainedCodec
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_retrieval

__all__ = ["PAPER_BATCH", "CodecGraphs", "Csi", "LinkConditions", "transmit", "transmit_features"]

PAPER_BATCH = 256
"""Images whose powers and pairs the published evaluation mixes (its test loader's batch)."""

_CODES_FORMAT = CodesFormat.SC8


class Csi(str, enum.Enum):
    """What the receiver's equaliser is given."""

    NOTHING = "none"
    """Gain 1 is assumed: right on AWGN."""
    PILOTS = "pilots"
    """The gain is estimated from pilots, which are counted in the total CBR."""
    GENIE = "genie"
    """Every gain exactly: no receiver has this; for bounds only."""
    PUBLISHED = "published"
    """The shortcuts of arXiv 2504.01053; `kbsc-reference` only."""


@dataclass(frozen=True)
class LinkConditions:
    """Channel and SNR of one cell of a grid, what the receiver knows in it, and what points a digital radio has."""

    channel: ChannelModel
    snr_db: float
    csi: Csi
    num_pilots: int = 0
    constellation: Constellation | None = None


@dataclass(frozen=True)
class CodecGraphs:
    """A codec at one rate: features (batch, feature_dim) -> latent (batch, 2 n), and received latent -> query."""

    name: str
    rate: Rate
    encoder: Callable[[Features], Features]
    decoder: Callable[[Features], Features]

    @classmethod
    def of(cls, codec: PerRateCodec, rate: Rate) -> CodecGraphs:
        """Take one rate of a model set's codec."""
        return cls(codec.name, rate, codec.load_encoder(rate), codec.load_decoder(rate))

    @classmethod
    def from_training(cls, trained: TrainedCodec) -> CodecGraphs:
        """Take the graphs of a finished training run."""
        return cls(
            trained.training.codec, trained.rate, load_runner(trained.encoder_path), load_runner(trained.decoder_path)
        )

    @classmethod
    def uncoded(cls, rate: Rate, feature_dim: int) -> CodecGraphs:
        """`uncoded`: the features themselves, two to a symbol; ConfigError at any rate but the one that holds them."""
        if rate.latent_dim != feature_dim:
            fitting = feature_dim // 2
            raise ConfigError(f"uncoded sends the features as they are: {fitting} symbols, not {rate.num_symbols}")
        return cls("uncoded", rate, np.asarray, np.asarray)

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every image, search for the queries that the decoder gives, and score what they find."""
        return score_retrieval(transmit_features(noiseless.features, self, conditions, rng), noiseless)


def transmit_features(
    features: Features, codec: CodecGraphs, conditions: LinkConditions, rng: np.random.Generator
) -> Features:
    """Send features over the air and give the receiver's queries.

    Parameters
    ----------
    features : (batch, feature_dim) float32, L2-normalised
    codec : which codec, at which rate
    conditions : channel, SNR and what the receiver knows
    rng : source of noise and gains

    Returns
    -------
    queries : (batch, feature_dim) float32, as the decoder gave them
    """
    latent = codec.encoder(features)
    if conditions.csi is Csi.PUBLISHED:
        batches = [latent[start : start + PAPER_BATCH] for start in range(0, len(latent), PAPER_BATCH)]
        received = [paper_channel(batch, conditions.channel, snr_db=conditions.snr_db, rng=rng) for batch in batches]
        return np.asarray(codec.decoder(np.concatenate(received)))
    data = normalize_power(pair_latent(latent))
    observation, gains = transmit(data, conditions, rng)
    if conditions.csi is Csi.GENIE:
        observation = derotate(observation, gains)[:, conditions.num_pilots :]
    elif conditions.csi is Csi.PILOTS and conditions.num_pilots < 1:
        raise ConfigError(f"estimating a gain needs at least 1 pilot, got {conditions.num_pilots}")
    else:
        observation = equalize_phase(observation, num_pilots=conditions.num_pilots)
    return np.asarray(codec.decoder(unpair_symbols(observation)))


def transmit(data: Symbols, conditions: LinkConditions, rng: np.random.Generator) -> tuple[Symbols, Symbols]:
    """Put pilots in front and send: what tx, channel and rx do between the codec's halves.

    Parameters
    ----------
    data : (batch, n) complex64, of unit mean power in each row

    Returns
    -------
    observation : (batch, num_pilots + n) complex64
    gains : (batch, 1) or (batch, num_pilots + n) complex64; for a genie only
    """
    pilots = np.broadcast_to(pilot_symbols(conditions.num_pilots), (len(data), conditions.num_pilots))
    if conditions.constellation is not None:
        data = conditions.constellation.nearest(data)
    sent = _through_codes(np.concatenate([pilots, data], axis=1))
    output = apply_channel(sent, conditions.channel, snr_db=conditions.snr_db, rng=rng)
    return _through_codes(output.symbols), output.gains


def _through_codes(symbols: np.ndarray) -> np.ndarray:
    """What crosses each hop are integers, in a simulation too."""
    return dequantize(quantize(symbols, _CODES_FORMAT), _CODES_FORMAT)
