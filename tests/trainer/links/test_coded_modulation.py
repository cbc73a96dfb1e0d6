"""LDPC code and QAM against capacity."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sionna", reason="needs semlink[references]")

from semlink.channel import ChannelModel, apply_channel
from semlink.errors import ConfigError
from trainer.links.coded_modulation import CodedModulation, Mode, modes


@pytest.mark.parametrize("num_symbols", [64, 256, 1024])
def test_every_mode_is_accounted_for(num_symbols: int) -> None:
    offered = modes(num_symbols)
    assert [mode.num_bits for mode in offered] == sorted(mode.num_bits for mode in offered)
    for mode in offered:
        assert mode.num_coded_bits == num_symbols * mode.bits_per_symbol
        assert mode.code_rate * mode.num_coded_bits - 1 < mode.num_bits <= mode.code_rate * mode.num_coded_bits
        assert mode.num_bytes == mode.num_bits // 8
    assert (offered[-1].bits_per_symbol, offered[-1].code_rate) == (6, Fraction(5, 6))


@pytest.mark.parametrize("mode", modes(64), ids=str)
def test_images_have_unit_power_whatever_their_bits(mode: Mode) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (6, mode.num_bits), dtype=np.uint8)
    bits[0], bits[1] = 0, 1
    coder = CodedModulation(mode)
    symbols = coder.modulate(bits)
    assert symbols.shape == (6, 64)
    np.testing.assert_allclose(np.mean(np.abs(symbols) ** 2, axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(coder.demodulate(symbols, np.full(6, 1e-3)), bits)


@pytest.mark.parametrize(
    ("mode", "works_db", "fails_db"),
    [
        # Capacity: log2(1 + SNR) bits for each symbol, 1 of them at 0 dB, 0.2 at -8.3 dB, 3 at 8.5 dB.
        (Mode(256, 2, Fraction(1, 2)), 3.0, -1.0),
        (Mode(256, 2, Fraction(1, 10)), -4.0, -12.0),
        (Mode(256, 4, Fraction(3, 4)), 14.0, 8.0),
        (Mode(256, 6, Fraction(1, 2)), 14.0, 8.0),
    ],
    ids=str,
)
def test_code_works_above_its_threshold_and_fails_below_capacity(mode: Mode, works_db: float, fails_db: float) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (40, mode.num_bits), dtype=np.uint8)
    coder = CodedModulation(mode)
    symbols = coder.modulate(bits)
    decoded_share = {}
    for snr_db in (works_db, fails_db):
        output = apply_channel(symbols, ChannelModel.AWGN, snr_db=snr_db, rng=rng)
        decided = coder.demodulate(output.symbols, np.full(40, output.noise_variance))
        decoded_share[snr_db] = np.mean((decided == bits).all(axis=1))
    assert decoded_share[works_db] == 1.0
    assert decoded_share[fails_db] == 0.0


def test_mode_without_room_for_a_code_is_refused() -> None:
    with pytest.raises(ConfigError, match="carries 6 bits"):
        CodedModulation(Mode(32, 2, Fraction(1, 10)))
