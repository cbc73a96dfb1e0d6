"""Channel statistics, seeded, each with the tolerance that its number of draws allows."""

from __future__ import annotations

import numpy as np
import pytest

from semlink.channel import (
    MAX_SNR_DB,
    RICIAN_K,
    ChannelModel,
    ChannelOutput,
    CustomChannel,
    apply_channel,
    apply_gains,
    complex_normal,
    noise_variance,
    pilot_symbols,
)
from semlink.errors import ConfigError
from semlink.iq import Symbols, normalize_power

NUM_DRAWS = 200_000
# Five standard errors: of a variance estimated from n complex draws, relative, and of a mean of unit variance.
VARIANCE_TOLERANCE = 5 / np.sqrt(NUM_DRAWS)
MEAN_TOLERANCE = 5 / np.sqrt(NUM_DRAWS)

FADING = (ChannelModel.RAYLEIGH, ChannelModel.RAYLEIGH_FAST)
NOISY = (ChannelModel.AWGN, *FADING)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def unit_symbols(shape: tuple[int, ...], seed: int = 1) -> Symbols:
    return normalize_power(complex_normal(shape, generator(seed)))


class TestComplexNormal:
    def test_circular_with_half_the_variance_in_each_dimension(self) -> None:
        draws = complex_normal((NUM_DRAWS,), generator())
        assert draws.dtype == np.complex64
        assert abs(draws.mean()) < MEAN_TOLERANCE
        assert np.var(draws.real) == pytest.approx(0.5, rel=1.5 * VARIANCE_TOLERANCE)
        assert np.var(draws.imag) == pytest.approx(0.5, rel=1.5 * VARIANCE_TOLERANCE)
        # E[w^2] = 0 is what makes it circular: I and Q of equal variance, and uncorrelated.
        assert abs(np.mean(draws**2)) < 2 * MEAN_TOLERANCE

    def test_same_generator_same_draws(self) -> None:
        np.testing.assert_array_equal(complex_normal((3, 5), generator(7)), complex_normal((3, 5), generator(7)))


class TestNoise:
    @pytest.mark.parametrize(("snr_db", "variance"), [(0, 1.0), (10, 0.1), (-10, 10.0), (3, 0.501187)])
    def test_variance_by_definition(self, snr_db: float, variance: float) -> None:
        assert noise_variance(snr_db) == pytest.approx(variance, rel=1e-5)

    @pytest.mark.parametrize("snr_db", [-7, -4, 0, 4, 7, 10, 20])
    def test_snr_is_es_over_n0(self, snr_db: float) -> None:
        sent = unit_symbols((NUM_DRAWS // 1000, 1000))
        output = apply_channel(sent, ChannelModel.AWGN, snr_db=snr_db, rng=generator())
        noise = output.symbols - sent
        measured_db = 10 * np.log10(np.mean(np.abs(sent) ** 2) / np.mean(np.abs(noise) ** 2))
        assert measured_db == pytest.approx(snr_db, abs=10 * np.log10(1 + VARIANCE_TOLERANCE))
        assert output.noise_variance == noise_variance(snr_db)
        for dimension in (noise.real, noise.imag):
            assert np.var(dimension) == pytest.approx(noise_variance(snr_db) / 2, rel=1.5 * VARIANCE_TOLERANCE)

    def test_noise_does_not_know_the_symbols(self) -> None:
        sent = unit_symbols((NUM_DRAWS,))
        noise = apply_channel(sent, ChannelModel.AWGN, snr_db=0, rng=generator()).symbols - sent
        assert abs(np.mean(noise * sent.conj())) < MEAN_TOLERANCE
        assert abs(np.mean(noise[1:] * noise[:-1].conj())) < MEAN_TOLERANCE

    @pytest.mark.parametrize("model", FADING)
    def test_snr_under_fading_is_the_mean_over_gains(self, model: ChannelModel) -> None:
        sent = unit_symbols((NUM_DRAWS // 4, 4))
        output = apply_channel(sent, model, snr_db=5, rng=generator())
        faded = output.gains * sent
        noise = output.symbols - faded
        # The power of a gain is exponential, so a block's four symbols share one draw.
        tolerance = 5 / np.sqrt(output.gains.size)
        assert np.mean(np.abs(faded) ** 2) == pytest.approx(1.0, rel=2 * tolerance)
        assert np.mean(np.abs(noise) ** 2) == pytest.approx(noise_variance(5), rel=VARIANCE_TOLERANCE)

    @pytest.mark.parametrize("snr_db", [float("nan"), float("inf"), float("-inf"), 101.0, -4000.0])
    @pytest.mark.parametrize("model", NOISY)
    def test_bad_snr(self, model: ChannelModel, snr_db: float) -> None:
        with pytest.raises(ConfigError, match=f"snr_db must be from -100 to 100, got {snr_db}"):
            apply_channel(unit_symbols((4,)), model, snr_db=snr_db, rng=generator())

    @pytest.mark.parametrize("snr_db", [-MAX_SNR_DB, MAX_SNR_DB])
    def test_ends_of_the_range_are_finite(self, snr_db: float) -> None:
        output = apply_channel(unit_symbols((64,)), ChannelModel.RAYLEIGH, snr_db=snr_db, rng=generator())
        assert np.isfinite(output.symbols).all()


class TestGains:
    @pytest.mark.parametrize("model", FADING)
    def test_rayleigh(self, model: ChannelModel) -> None:
        gains = apply_channel(unit_symbols((NUM_DRAWS, 1)), model, snr_db=0, rng=generator()).gains.ravel()
        assert np.mean(np.abs(gains) ** 2) == pytest.approx(1.0, rel=VARIANCE_TOLERANCE)
        assert np.mean(np.abs(gains)) == pytest.approx(np.sqrt(np.pi) / 2, abs=MEAN_TOLERANCE)
        # Uniform phase: every harmonic averages out.
        phase = np.angle(gains)
        for harmonic in range(1, 5):
            assert abs(np.mean(np.exp(1j * harmonic * phase))) < MEAN_TOLERANCE
        counts, _ = np.histogram(phase, bins=16, range=(-np.pi, np.pi))
        np.testing.assert_allclose(counts, NUM_DRAWS / 16, rtol=5 / np.sqrt(NUM_DRAWS / 16))

    def test_block_fading_is_one_gain_a_transmission(self) -> None:
        sent = unit_symbols((8, 32))
        output = apply_channel(sent, ChannelModel.RAYLEIGH, snr_db=MAX_SNR_DB, rng=generator())
        assert output.gains.shape == (8, 1)
        assert len(np.unique(output.gains)) == 8
        np.testing.assert_allclose(output.symbols / sent, np.broadcast_to(output.gains, sent.shape), rtol=0.02)

    def test_rician_has_a_line_of_sight_of_random_phase(self) -> None:
        gains = apply_channel(
            unit_symbols((NUM_DRAWS, 1)), ChannelModel.RICIAN, snr_db=0, rng=generator()
        ).gains.ravel()
        assert np.mean(np.abs(gains) ** 2) == pytest.approx(1.0, rel=VARIANCE_TOLERANCE)
        assert abs(np.mean(gains)) < MEAN_TOLERANCE
        # E|h|^4 = (K^2 + 4 K + 2) / (K + 1)^2 of a Rician gain of unit power; 2 without a line of sight.
        expected = (RICIAN_K**2 + 4 * RICIAN_K + 2) / (RICIAN_K + 1) ** 2
        assert np.mean(np.abs(gains) ** 4) == pytest.approx(expected, rel=0.03)

    def test_burst_erases_one_run_of_a_quarter(self) -> None:
        gains = apply_channel(unit_symbols((500, 64)), ChannelModel.BURST, snr_db=0, rng=generator()).gains
        assert set(np.unique(gains)) == {0, 1}
        np.testing.assert_array_equal((gains == 0).sum(axis=1), 16)
        starts = (gains == 0).argmax(axis=1)
        assert all((row[start : start + 16] == 0).all() for row, start in zip(gains, starts, strict=True))
        assert set(starts) == set(range(49))

    def test_fast_fading_is_a_gain_a_symbol(self) -> None:
        sent = unit_symbols((NUM_DRAWS // 1000, 1000))
        gains = apply_channel(sent, ChannelModel.RAYLEIGH_FAST, snr_db=0, rng=generator()).gains
        assert gains.shape == sent.shape
        assert abs(np.mean(gains[:, 1:] * gains[:, :-1].conj())) < MEAN_TOLERANCE

    def test_awgn_has_gain_one(self) -> None:
        gains = apply_channel(unit_symbols((3, 4)), ChannelModel.AWGN, snr_db=0, rng=generator()).gains
        np.testing.assert_array_equal(gains, np.ones((3, 1)))

    @pytest.mark.parametrize("gains_shape", [(3, 1), (3, 8)])
    def test_given_gains_and_noise_of_the_generator(self, gains_shape: tuple[int, int]) -> None:
        sent, gains = unit_symbols((3, 8)), complex_normal(gains_shape, generator(2))
        output = apply_gains(sent, gains, snr_db=20.0, rng=generator())
        noise = 0.1 * complex_normal((3, 8), generator())
        np.testing.assert_allclose(output.symbols, gains * sent + noise, atol=1e-6)
        np.testing.assert_array_equal(output.gains, gains)
        assert output.noise_variance == pytest.approx(0.01)


class TestModels:
    @pytest.mark.parametrize("snr_db", [0.0, float("nan")])
    def test_ideal_is_identity_and_draws_nothing(self, snr_db: float) -> None:
        rng, sent = generator(), unit_symbols((2, 8))
        output = apply_channel(sent, ChannelModel.IDEAL, snr_db=snr_db, rng=rng)
        np.testing.assert_array_equal(output.symbols, sent)
        assert output.noise_variance == 0.0
        assert rng.bit_generator.state == generator().bit_generator.state

    @pytest.mark.parametrize("model", ChannelModel)
    @pytest.mark.parametrize("shape", [(16,), (3, 16), (2, 3, 16), (0, 16)])
    def test_shapes(self, model: ChannelModel, shape: tuple[int, ...]) -> None:
        output = apply_channel(np.ones(shape, np.complex64), model, snr_db=0, rng=generator())
        assert output.symbols.shape == shape
        assert output.symbols.dtype == np.complex64

    @pytest.mark.parametrize("model", NOISY)
    def test_reproducible(self, model: ChannelModel) -> None:
        first, again, other = (
            apply_channel(unit_symbols((2, 8)), model, snr_db=0, rng=generator(seed)).symbols for seed in (3, 3, 4)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).all()

    def test_names_of_the_command_line(self) -> None:
        names = ["ideal", "awgn", "rayleigh", "rayleigh-fast", "rician", "burst"]
        assert [model.value for model in ChannelModel] == names


class TestPilots:
    def test_qpsk_corners_in_turn(self) -> None:
        corner = np.sqrt(0.5)
        expected = [corner + corner * 1j, -corner + corner * 1j, -corner - corner * 1j, corner - corner * 1j]
        np.testing.assert_allclose(pilot_symbols(5), [*expected, expected[0]], atol=1e-6)

    def test_unit_power_and_none(self) -> None:
        np.testing.assert_allclose(np.abs(pilot_symbols(1024)), 1.0, atol=1e-5)
        assert pilot_symbols(0).shape == (0,)


class TestCustomChannel:
    @pytest.mark.parametrize("gains_shape", [(2, 1), (2, 4)])
    def test_gives_symbols_and_gains(self, gains_shape: tuple[int, ...]) -> None:
        gains = np.full(gains_shape, 0.5j, np.complex64)
        channel = CustomChannel("mine", lambda symbols, *_: ChannelOutput(gains * symbols, gains, 0.0))
        output = apply_channel(np.ones((2, 4), np.complex64), channel, snr_db=10.0, rng=generator())
        np.testing.assert_array_equal(output.symbols, np.full((2, 4), 0.5j))

    @pytest.mark.parametrize(
        ("symbols_shape", "gains_shape", "words"),
        [
            ((2, 3), (2, 1), r'"mine" must keep the shape of symbols, \(2, 4\); got \(2, 3\)'),
            ((2, 4), (4,), r"one gain for each transmission, \(2, 1\), or for each symbol, \(2, 4\); got \(4,\)"),
        ],
    )
    def test_other_shapes_are_refused(
        self, symbols_shape: tuple[int, ...], gains_shape: tuple[int, ...], words: str
    ) -> None:
        output = ChannelOutput(np.ones(symbols_shape, np.complex64), np.ones(gains_shape, np.complex64), 0.0)
        channel = CustomChannel("mine", lambda *_: output)
        with pytest.raises(ConfigError, match=words):
            apply_channel(np.ones((2, 4), np.complex64), channel, snr_db=10.0, rng=generator())

    @pytest.mark.parametrize(
        ("is_block_fading", "rotates_phase", "is_fast_fading"),
        [(False, False, False), (True, False, False), (True, True, False), (False, True, True)],
    )
    def test_fast_fading(self, is_block_fading: bool, rotates_phase: bool, is_fast_fading: bool) -> None:
        channel = CustomChannel(
            "mine", lambda symbols, *_: ChannelOutput(symbols, symbols, 0.0), is_block_fading, rotates_phase
        )
        assert channel.is_fast_fading == is_fast_fading
