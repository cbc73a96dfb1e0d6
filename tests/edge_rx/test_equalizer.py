"""The receiver equalizes a phase by the received pilots alone."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rx.equalizer import derotate, equalize_phase, estimate_gain
from semlink.channel import ChannelModel, apply_channel, complex_normal, pilot_symbols
from semlink.iq import normalize_power


def sent(num_pilots: int, num_images: int = 200, num_symbols: int = 64) -> np.ndarray:
    data = normalize_power(complex_normal((num_images, num_symbols), np.random.default_rng(0)))
    return np.concatenate([np.broadcast_to(pilot_symbols(num_pilots), (num_images, num_pilots)), data], axis=1)


def test_without_pilots_symbols_pass_unchanged() -> None:
    symbols = sent(0)
    assert equalize_phase(symbols, num_pilots=0) is symbols


@pytest.mark.parametrize("num_pilots", [1, 2, 8])
def test_without_noise_only_the_magnitude_of_the_gain_is_left(num_pilots: int) -> None:
    symbols = sent(num_pilots)
    gains = complex_normal((len(symbols), 1), np.random.default_rng(1))
    received = equalize_phase(symbols * gains, num_pilots=num_pilots)
    np.testing.assert_allclose(received, np.abs(gains) * symbols[:, num_pilots:], atol=1e-5)


def test_error_of_the_gain_is_noise_over_pilots() -> None:
    symbols = sent(8, num_images=4000, num_symbols=4)
    output = apply_channel(symbols, ChannelModel.RAYLEIGH, snr_db=0.0, rng=np.random.default_rng(2))
    error = estimate_gain(output.symbols[:, :8]) - output.gains
    # 4,000 complex samples: the standard error of a variance is 1.6 %, and four of them is the tolerance.
    assert np.mean(np.abs(error) ** 2) == pytest.approx(1 / 8, rel=0.065)


def test_more_pilots_leave_less_phase_error() -> None:
    errors = []
    for num_pilots in (1, 4, 16):
        output = apply_channel(
            sent(num_pilots, num_images=2000, num_symbols=4),
            ChannelModel.RAYLEIGH,
            snr_db=5.0,
            rng=np.random.default_rng(3),
        )
        estimate = estimate_gain(output.symbols[:, :num_pilots])
        errors.append(float(np.mean(np.abs(np.angle(estimate * output.gains.conj())))))
    assert errors[0] > errors[1] > errors[2]


def test_a_gain_for_every_symbol_is_undone_symbol_by_symbol() -> None:
    symbols = sent(0)
    gains = complex_normal(symbols.shape, np.random.default_rng(4))
    np.testing.assert_allclose(derotate(symbols * gains, gains), np.abs(gains) * symbols, atol=1e-5)


def test_silence_is_no_error() -> None:
    assert np.array_equal(equalize_phase(np.zeros((1, 12), np.complex64), num_pilots=4), np.zeros((1, 8), np.complex64))
