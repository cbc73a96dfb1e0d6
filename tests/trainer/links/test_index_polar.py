"""Entry numbers with 5G's polar code."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")
pytest.importorskip("sionna", reason="needs semlink[references]")

from semlink.channel import ChannelModel, apply_channel, noise_variance
from semlink.errors import ConfigError
from semlink.rates import parse_rate
from tests.support.conditions import awgn
from tests.support.vectors import unit
from trainer.links.index_polar import IndexPolarLink, PolarCode, bit_likelihoods
from trainer.links.retrieval import NoiselessRetrieval


def test_numbers_come_back_and_noise_gives_no_number() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 5000, 400)
    code = PolarCode(5000, parse_rate("16"))
    symbols = code.modulate(numbers)
    assert symbols.shape == (400, 16)
    np.testing.assert_allclose(np.abs(symbols), 1.0, atol=1e-6)
    np.testing.assert_array_equal(code.demodulate(symbols, np.full(400, 1e-2)), numbers)
    noisy = apply_channel(symbols, ChannelModel.AWGN, snr_db=-15.0, rng=rng).symbols
    decided = code.demodulate(noisy, np.full(400, noise_variance(-15.0)))
    # Six bits of CRC accept a wrong number of each of eight list entries with probability 1/64.
    assert np.mean((decided != -1) & (decided != numbers)) < 1 / 8
    assert np.mean(decided == -1) > 0.6


def test_likelihoods_of_bits_are_those_of_gaussian_noise() -> None:
    rng, n0 = np.random.default_rng(3), np.array([0.3, 2.0])
    symbols = (rng.standard_normal((2, 5)) + 1j * rng.standard_normal((2, 5))).astype(np.complex64)
    reals = np.stack([symbols.real, symbols.imag], axis=-1).reshape(2, 10)
    distance = {bit: (reals - (2 * bit - 1) * 0.5**0.5) ** 2 for bit in (0, 1)}
    expected = (distance[0] - distance[1]) / n0[:, None]  # each density falls as e to -distance / (2 N0 / 2)
    np.testing.assert_allclose(bit_likelihoods(symbols, n0), expected, rtol=1e-5)


def test_numbers_are_sent_and_scored() -> None:
    entries = unit(np.random.default_rng(4).standard_normal((2100, 32)))
    labels = np.arange(2100).astype(str)
    noiseless = NoiselessRetrieval.of(entries[:60], labels[:60], entries, labels)
    link = IndexPolarLink.of(parse_rate("64"), noiseless)
    high, low = (link.retrieve(noiseless, awgn(snr_db), np.random.default_rng(0)) for snr_db in (5.0, -20.0))
    assert (high.semantic_accuracy, high.mean_cosine) == (1.0, pytest.approx(1.0, abs=1e-5))
    assert low.semantic_accuracy < 0.1
    assert low.mean_cosine == pytest.approx(low.match_cosine)


@pytest.mark.parametrize(("num_symbols", "works_db", "fails_db"), [("16", 4.0, -4.0), ("64", -3.0, -10.0)])
def test_polar_code_works_above_capacity_and_fails_below(num_symbols: str, works_db: float, fails_db: float) -> None:
    """13 bits and their CRC: 1.2 and 0.3 bits for each symbol, which are the capacity at 1 and at -6.5 dB."""
    rate, rng = parse_rate(num_symbols), np.random.default_rng(1)
    code, numbers = PolarCode(5000, rate), rng.integers(0, 5000, 300)
    share = {}
    for snr_db in (works_db, fails_db):
        received = apply_channel(code.modulate(numbers), ChannelModel.AWGN, snr_db=snr_db, rng=rng).symbols
        share[snr_db] = np.mean(code.demodulate(received, np.full(300, noise_variance(snr_db))) == numbers)
    assert share[works_db] > 0.95
    assert share[fails_db] < 0.5


@pytest.mark.parametrize(("num_messages", "num_symbols"), [(40, "64"), (5000, "8"), (5000, "1024")])
def test_code_that_5g_lacks_is_refused(num_messages: int, num_symbols: str) -> None:
    with pytest.raises(ConfigError, match="a polar code needs 16 to 512 symbols and 12 bits or more"):
        PolarCode(num_messages, parse_rate(num_symbols))
