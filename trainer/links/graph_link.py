"""Links of the codecs that are a pair of networks (`kbsc`), and of `uncoded`, whose pair is the identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edge_rx.equalizer import derotate, equalize_phase
from engines.backends.runner import load_runner
from engines.models.codecs import PerRateCodec
from engines.models.image_encoder import Features
from semlink.errors import ConfigError
from semlink.iq import normalize_power, pair_latent, unpair_symbols
from semlink.paper_channel import paper_channel
from semlink.rates import Rate
from trainer.codecs.config import TrainedCodec
from trainer.links.base import Link, LinkInputs, MakeLink
from trainer.links.conditions import Csi, LinkConditions
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_retrieval
from trainer.links.signal_link import SignalLink
from trainer.links.transmission import transmit

__all__ = ["PAPER_BATCH", "GraphLink", "graph_links", "reference_links", "transmit_features", "uncoded_links"]

PAPER_BATCH = 256
"""Images whose powers and pairs the published evaluation mixes (its test loader's batch)."""


@dataclass(frozen=True, eq=False)
class GraphLink(Link):
    """A codec at one rate.

    Attributes
    ----------
    encoder : features (batch, feature_dim) -> latent (batch, 2 n)
    decoder : received latent (batch, 2 n) -> query (batch, feature_dim)
    """

    rate: Rate
    encoder: Callable[[Features], Features]
    decoder: Callable[[Features], Features]

    @classmethod
    def of(cls, codec: PerRateCodec, rate: Rate) -> GraphLink:
        """Load one rate of a model set's codec."""
        return cls(rate, codec.load_encoder(rate), codec.load_decoder(rate))

    @classmethod
    def from_training(cls, trained: TrainedCodec) -> GraphLink:
        """Load the graphs of a finished training run."""
        return cls(trained.rate, load_runner(trained.encoder_path), load_runner(trained.decoder_path))

    @classmethod
    def uncoded(cls, rate: Rate, feature_dim: int) -> GraphLink:
        """`uncoded`: the features themselves, two in each symbol.

        Raises
        ------
        ConfigError
            At any rate but the one of feature_dim / 2 symbols.
        """
        if rate.latent_dim != feature_dim:
            raise ConfigError(
                f"uncoded sends the features as they are: {feature_dim // 2} symbols, not {rate.num_symbols}"
            )
        return cls(rate, np.asarray, np.asarray)

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every image, search for the decoder's queries, and score the matches."""
        return score_retrieval(transmit_features(noiseless.features, self, conditions, rng), noiseless)


def transmit_features(
    features: Features, link: GraphLink, conditions: LinkConditions, rng: np.random.Generator
) -> Features:
    """Encode, transmit and decode features.

    Parameters
    ----------
    features : (batch, feature_dim) float32, L2-normalised
    rng : source of noise and gains

    Returns
    -------
    queries : (batch, feature_dim) float32, as the decoder gives them
    """
    latent = link.encoder(features)
    if conditions.csi is Csi.PUBLISHED:
        batches = [latent[start : start + PAPER_BATCH] for start in range(0, len(latent), PAPER_BATCH)]
        received = [paper_channel(batch, conditions.channel, snr_db=conditions.snr_db, rng=rng) for batch in batches]
        return np.asarray(link.decoder(np.concatenate(received)))
    observation, gains = transmit(normalize_power(pair_latent(latent)), conditions, rng)
    if conditions.csi is Csi.GENIE:
        observation = derotate(observation, gains)[:, conditions.num_pilots :]
    elif conditions.csi is Csi.PILOTS and conditions.num_pilots < 1:
        raise ConfigError(f"estimating a gain needs at least 1 pilot, got {conditions.num_pilots}")
    else:
        observation = equalize_phase(observation, num_pilots=conditions.num_pilots)
    return np.asarray(link.decoder(unpair_symbols(observation)))


def graph_links(inputs: LinkInputs) -> MakeLink:
    """Links of `kbsc`, from a training run or a model set's codec."""

    def make(model: TrainedCodec | PerRateCodec, rate: Rate, seed: int) -> Link:
        link = GraphLink.of(model, rate) if isinstance(model, PerRateCodec) else GraphLink.from_training(model)
        receiver = inputs.receiver()
        if receiver.answer == "label":
            return SignalLink.network(link.encoder, rate, inputs.noiseless, receiver)
        return link

    return make


def reference_links(inputs: LinkInputs) -> MakeLink:
    """Links of `kbsc-reference`, whose receiver is as it was published: the nearest entry answers."""
    return graph_links(replace(inputs, answer="nearest"))


def uncoded_links(inputs: LinkInputs) -> MakeLink:
    """Links of `uncoded`, which has no model."""
    return lambda _model, rate, _seed: GraphLink.uncoded(rate, inputs.noiseless.features.shape[1])
