"""Estimates of the noise variance from observations."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rx.equalizer import estimate_gain
from edge_rx.noise import MIN_NOISE_VARIANCE, NoiseEstimator, equalize_and_estimate
from semlink.channel import ChannelModel, apply_channel, complex_normal, noise_variance, pilot_symbols
from semlink.errors import DecodeError
from semlink.iq import Symbols, normalize_power


def sent(num_images: int, num_pilots: int, rng: np.random.Generator) -> Symbols:
    data = normalize_power(complex_normal((num_images, 64), rng))
    return np.concatenate([np.broadcast_to(pilot_symbols(num_pilots), (num_images, num_pilots)), data], axis=1)


@pytest.mark.parametrize("snr_db", [-7.0, 0.0, 10.0])
@pytest.mark.parametrize(("model", "num_pilots"), [(ChannelModel.AWGN, 0), (ChannelModel.RAYLEIGH, 8)])
def test_stream_tells_its_noise(model: ChannelModel, num_pilots: int, snr_db: float) -> None:
    rng = np.random.default_rng(0)
    symbols = sent(200, num_pilots, rng)
    observation = apply_channel(symbols, model, snr_db=snr_db, rng=rng)
    estimator, estimates = NoiseEstimator(), []
    for image in observation.symbols:
        data, noise = equalize_and_estimate(image, num_pilots=num_pilots, estimator=estimator)
        assert data.shape == (64,)
        estimates.append(noise)
        if num_pilots:
            # Back to the noise before the gain was undone, and before what is unknown of the gain was counted in.
            n0 = noise_variance(snr_db)
            gain = estimate_gain(image[:num_pilots])[0] / (1 + n0 / num_pilots)
            estimates[-1] = noise * abs(gain) ** 2 / (1 + (1 / num_pilots) / (1 + n0 / num_pilots))
    np.testing.assert_allclose(estimates[64:], noise_variance(snr_db), rtol=0.3)
    assert np.mean(estimates[64:]) == pytest.approx(noise_variance(snr_db), rel=0.1)


@pytest.mark.parametrize("num_symbols", [4, 64, 1024])
@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 15.0, 30.0])
def test_fading_without_pilots_is_told_and_no_snr_is_reported(
    num_symbols: int, snr_db: float, caplog: pytest.LogCaptureFixture
) -> None:
    for model in (ChannelModel.AWGN, ChannelModel.RAYLEIGH):
        caplog.clear()
        rng, estimator = np.random.default_rng(2), NoiseEstimator()
        data = normalize_power(complex_normal((200, num_symbols), rng))
        for image in apply_channel(data, model, snr_db=snr_db, rng=rng).symbols:
            equalize_and_estimate(image, num_pilots=0, estimator=estimator)
        if model is ChannelModel.AWGN:
            # Four symbols an image say little, and how little, is not the question here.
            assert estimator.snr_db == pytest.approx(snr_db, abs=1.5 if num_symbols > 4 else 15.0)
            assert not caplog.records
        elif num_symbols > 4 and snr_db >= 0.0:
            assert estimator.snr_db is None
            assert caplog.text.count("semlink tx --pilots 8") == 1


@pytest.mark.parametrize("snr_db", [-7.0, 0.0])
def test_undone_symbols_are_neither_too_large_nor_their_noise_too_small(snr_db: float) -> None:
    rng = np.random.default_rng(1)
    symbols = sent(4000, 8, rng)
    observation = apply_channel(symbols, ChannelModel.RAYLEIGH, snr_db=snr_db, rng=rng).symbols
    estimator = NoiseEstimator()
    estimator.update(noise_variance(snr_db))
    undone = [equalize_and_estimate(image, num_pilots=8, estimator=estimator) for image in observation]
    data, noise = np.stack([symbols for symbols, _ in undone]), np.array([noise for _, noise in undone])
    weight = 1 / noise[:, None]
    scale = np.sum(weight * data * symbols[:, 8:].conj()) / np.sum(weight * np.abs(symbols[:, 8:]) ** 2)
    assert scale.real == pytest.approx(1.0, abs=0.03)
    # Estimated and true variance agree: the errors, each over its own variance, have unit power.
    assert np.mean(np.abs(data - symbols[:, 8:]) ** 2 * weight) == pytest.approx(1.0, abs=0.08)


def test_gain_is_undone() -> None:
    rng = np.random.default_rng(0)
    symbols = sent(1, 8, rng)[0]
    data, _ = equalize_and_estimate(symbols * np.complex64(0.3 - 2j), num_pilots=8, estimator=NoiseEstimator())
    np.testing.assert_allclose(data, symbols[8:], atol=1e-3)


def test_silence_of_a_fade_is_told_as_noise() -> None:
    data, noise = equalize_and_estimate(np.zeros(72, np.complex64), num_pilots=8, estimator=NoiseEstimator())
    assert np.isfinite(data).all()
    assert noise > 100


def test_estimate_has_a_floor_and_forgets() -> None:
    estimator = NoiseEstimator()
    assert estimator.update(-0.5) == MIN_NOISE_VARIANCE
    for _ in range(1000):
        latest = estimator.update(2.0)
    assert latest == pytest.approx(2.0, rel=1e-3)


def test_one_pilot_is_refused() -> None:
    with pytest.raises(DecodeError, match="at least 2"):
        equalize_and_estimate(np.ones(65, np.complex64), num_pilots=1, estimator=NoiseEstimator())
