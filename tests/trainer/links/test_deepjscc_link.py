"""Pictures through a trained network and the channel."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from engines.models.image_encoder import ImageEncoder
from semlink.channel import ChannelModel
from semlink.rates import parse_rate
from tests.support.conditions import NOISELESS, awgn
from tests.support.pictures import smooth_pictures
from trainer.codecs.deepjscc_training import DeepJsccTraining, train_deepjscc
from trainer.links.conditions import Csi, LinkConditions
from trainer.links.deepjscc_link import DeepJsccLink
from trainer.links.retrieval import NoiselessRetrieval


@pytest.fixture(scope="module")
def link(sent_pictures: list[np.ndarray], encoder: ImageEncoder) -> DeepJsccLink:
    training = DeepJsccTraining(1024, epochs=3, batch_size=32, precision="fp32")
    network = train_deepjscc(training, np.stack(smooth_pictures(320, 3)[0]))
    return DeepJsccLink(parse_rate("1024"), network, np.stack(sent_pictures), encoder)


def test_pictures_become_symbols_of_unit_power(link: DeepJsccLink) -> None:
    assert link.symbols.shape == (40, 1024)
    assert link.symbols.dtype == np.complex64
    np.testing.assert_allclose(np.mean(np.abs(link.symbols) ** 2, axis=1), 1.0, atol=1e-5)


def test_received_pictures_are_recognised(link: DeepJsccLink, noiseless_pictures: NoiselessRetrieval) -> None:
    clean = link.retrieve(noiseless_pictures, NOISELESS, np.random.default_rng(0))
    assert clean.semantic_accuracy == pytest.approx(noiseless_pictures.accuracy, abs=0.05)
    noisy = link.retrieve(noiseless_pictures, awgn(-15.0), np.random.default_rng(0))
    assert noisy.mean_cosine < clean.mean_cosine
    fading = LinkConditions(ChannelModel.RAYLEIGH, 20.0, Csi.PILOTS, 8)
    assert link.retrieve(noiseless_pictures, fading, np.random.default_rng(0)).semantic_accuracy > 0.8
