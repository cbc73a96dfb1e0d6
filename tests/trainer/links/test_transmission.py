"""Symbols through the channel and the equalizer."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.noise import NoiseEstimator
from semlink.channel import ChannelModel, complex_normal
from semlink.constellation import Constellation
from semlink.iq import normalize_power
from tests.support.conditions import NOISELESS, awgn
from trainer.links.conditions import Csi, LinkConditions
from trainer.links.transmission import transmit, transmit_and_equalize


def symbols(num_images: int, num_symbols: int = 64) -> np.ndarray:
    return normalize_power(complex_normal((num_images, num_symbols), np.random.default_rng(1)))


def test_pilots_precede_the_data_and_leave_with_the_gain() -> None:
    data = symbols(50)
    fading = LinkConditions(ChannelModel.RAYLEIGH, 40.0, Csi.PILOTS, 8)
    observation, gains = transmit(data, fading, np.random.default_rng(0))
    assert observation.shape == (50, 72)
    assert gains.shape == (50, 1)
    equalized, noise_variance = transmit_and_equalize(data, fading, np.random.default_rng(0))
    assert equalized.shape == data.shape
    assert noise_variance.shape == (50,)
    strong = np.abs(gains[:, 0]) > 0.3
    assert np.mean(np.abs(equalized - data)[strong] ** 2) < 0.01


def test_noise_variance_is_that_of_the_snr() -> None:
    _, noise_variance = transmit_and_equalize(symbols(500), awgn(0.0), np.random.default_rng(0))
    assert noise_variance[-1] == pytest.approx(1.0, rel=0.1)


def test_estimator_continues_a_stream() -> None:
    estimator = NoiseEstimator()
    transmit_and_equalize(symbols(64), awgn(0.0), np.random.default_rng(0), estimator=estimator)
    assert estimator.snr_db == pytest.approx(0.0, abs=1.0)
    _, continued = transmit_and_equalize(symbols(1), awgn(0.0), np.random.default_rng(1), estimator=estimator)
    assert continued[0] == pytest.approx(1.0, rel=0.2)


def test_genie_equalizes_every_symbol() -> None:
    data = symbols(20)
    fast = LinkConditions(ChannelModel.RAYLEIGH_FAST, 60.0, Csi.GENIE)
    equalized, _ = transmit_and_equalize(data, fast, np.random.default_rng(0))
    assert (np.real(equalized * data.conj()) >= -0.05).all()


def test_constellation_rounds_the_symbols() -> None:
    conditions = LinkConditions(ChannelModel.IDEAL, 0.0, Csi.NOTHING, 0, Constellation.QPSK)
    observation, _ = transmit(symbols(5), conditions, np.random.default_rng(0))
    assert len(np.unique(observation.round(3))) == 4
    assert len(np.unique(transmit(symbols(5), NOISELESS, np.random.default_rng(0))[0].round(3))) > 100
