"""Symbols through the channel and the equalizer."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.noise import NoiseEstimator
from semlink.channel import ChannelModel, ChannelOutput, CustomChannel, complex_normal
from semlink.constellation import Constellation
from semlink.iq import Symbols, normalize_power
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


def fading_channel(gains: list[complex], **facts: bool) -> CustomChannel:
    """A channel of a user, without noise: the gains of its images, in turn."""

    def apply(symbols: Symbols, snr_db: float, rng: np.random.Generator) -> ChannelOutput:
        held = np.resize(np.array(gains, dtype=np.complex64), (len(symbols), 1))
        return ChannelOutput(symbols * held, held, 0.0)

    return CustomChannel("mine", apply, **facts)


@pytest.mark.parametrize("csi", [Csi.PILOTS, Csi.GENIE])
def test_gain_of_a_users_channel_is_equalized(csi: Csi) -> None:
    data = symbols(20)
    channel = fading_channel([0.5j, -0.8, 1.2 * np.exp(1j)], is_block_fading=True, rotates_phase=True)
    conditions = LinkConditions(channel, 10.0, csi, 8 if csi is Csi.PILOTS else 0)
    equalized, _ = transmit_and_equalize(data, conditions, np.random.default_rng(0))
    assert np.mean(np.abs(equalized - data) ** 2) < 0.02
    unknown = LinkConditions(channel, 10.0, Csi.NOTHING)
    assert np.mean(np.abs(transmit_and_equalize(data, unknown, np.random.default_rng(0))[0] - data) ** 2) > 0.5


def test_genie_survives_a_lost_transmission() -> None:
    channel = fading_channel([0.0], is_block_fading=True)
    equalized, noise = transmit_and_equalize(
        symbols(3), LinkConditions(channel, 10.0, Csi.GENIE), np.random.default_rng(0)
    )
    assert not equalized.any()
    assert np.isfinite(noise).all()


def test_constellation_rounds_the_symbols() -> None:
    conditions = LinkConditions(ChannelModel.IDEAL, 0.0, Csi.NOTHING, 0, Constellation.QPSK)
    observation, _ = transmit(symbols(5), conditions, np.random.default_rng(0))
    assert len(np.unique(observation.round(3))) == 4
    assert len(np.unique(transmit(symbols(5), NOISELESS, np.random.default_rng(0))[0].round(3))) > 100
