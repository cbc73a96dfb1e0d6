"""Links of pairs of networks, and the CSI that they need."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from engines.models.codecs import PerRateCodec
from engines.models.model_set import ModelSet
from semlink.channel import ChannelModel
from semlink.errors import ConfigError
from semlink.rates import parse_rate
from tests.support.conditions import NOISELESS, awgn
from trainer.links.conditions import Csi, LinkConditions
from trainer.links.graph_link import GraphLink, transmit_features
from trainer.links.retrieval import NoiselessRetrieval, score_retrieval


@pytest.fixture
def link(model_set: ModelSet) -> GraphLink:
    codec = model_set.codec()
    assert isinstance(codec, PerRateCodec)
    return GraphLink.of(codec, parse_rate("64"))


def test_without_noise_the_link_gives_the_noiseless_retrieval(link: GraphLink, noiseless: NoiselessRetrieval) -> None:
    scores = link.retrieve(noiseless, NOISELESS, np.random.default_rng(0))
    # The rest is the quantization of two hops at an EVM of -31 dB.
    assert scores.mean_cosine > 0.998
    assert scores.recall_at_10 > 0.99
    assert scores.semantic_accuracy == pytest.approx(noiseless.accuracy, abs=0.02)


def test_batch_of_one_has_the_same_link(link: GraphLink, noiseless: NoiselessRetrieval) -> None:
    whole = transmit_features(noiseless.features[:5], link, NOISELESS, np.random.default_rng(0))
    single = [
        transmit_features(row[None], link, NOISELESS, np.random.default_rng(0))[0] for row in noiseless.features[:5]
    ]
    # A value on the border between two codes may fall either way in another order of sums.
    np.testing.assert_allclose(np.stack(single), whole, atol=0.02)


def test_genie_bounds_the_receiver_that_has_pilots(link: GraphLink, noiseless: NoiselessRetrieval) -> None:
    cosine = {}
    for csi, num_pilots in ((Csi.GENIE, 0), (Csi.PILOTS, 8), (Csi.NOTHING, 0)):
        conditions = LinkConditions(ChannelModel.RAYLEIGH, 5.0, csi, num_pilots)
        queries = transmit_features(noiseless.features, link, conditions, np.random.default_rng(0))
        cosine[csi] = score_retrieval(queries, noiseless).mean_cosine
    assert cosine[Csi.GENIE] >= cosine[Csi.PILOTS] > cosine[Csi.NOTHING] + 0.3


def test_pilots_are_needed_where_pilots_are_promised(link: GraphLink, noiseless: NoiselessRetrieval) -> None:
    conditions = LinkConditions(ChannelModel.RAYLEIGH, 5.0, Csi.PILOTS, 0)
    with pytest.raises(ConfigError, match="at least 1 pilot"):
        transmit_features(noiseless.features, link, conditions, np.random.default_rng(0))


def test_published_receiver_knows_the_power_of_the_batch(link: GraphLink, noiseless: NoiselessRetrieval) -> None:
    conditions = LinkConditions(ChannelModel.AWGN, 100.0, Csi.PUBLISHED)
    features = noiseless.features[:4]
    scaled = features * np.array([[1.0], [1.0], [1.0], [9.0]], np.float32)
    louder = transmit_features(scaled, link, conditions, np.random.default_rng(0))
    alone = transmit_features(features, link, conditions, np.random.default_rng(0))
    # The published receiver undoes the batch's power, so the queries have the features' own scale.
    np.testing.assert_allclose(np.linalg.norm(louder[:3], axis=1), np.linalg.norm(alone[:3], axis=1), rtol=1e-2)
    np.testing.assert_allclose(np.linalg.norm(louder[3]), 9 * np.linalg.norm(alone[3]), rtol=1e-2)


def test_uncoded_is_the_features_themselves(noiseless: NoiselessRetrieval) -> None:
    scores = GraphLink.uncoded(parse_rate("8"), 16).retrieve(noiseless, awgn(40.0), np.random.default_rng(0))
    assert scores.mean_cosine == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(ConfigError, match="uncoded sends the features as they are: 8 symbols, not 16"):
        GraphLink.uncoded(parse_rate("16"), 16)
