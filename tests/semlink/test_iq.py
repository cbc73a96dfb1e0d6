"""Symbols and codes: inverse pairs, the constants of the format, and what quantization costs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from semlink.channel import ChannelModel, apply_channel, complex_normal
from semlink.errors import ConfigError, DecodeError
from semlink.iq import (
    FULL_SCALE,
    MAX_AMPLITUDE,
    CodesFormat,
    dequantize,
    measure_quantization,
    normalize_power,
    pair_latent,
    quantize,
    unpair_symbols,
)

INTEGER_FORMATS = (CodesFormat.SC8, CodesFormat.SC16)
NOT_FINITE = (np.nan, np.inf, -np.inf, complex(0, np.nan), complex(np.inf, 1))


def reals(low: float, high: float, shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]]) -> st.SearchStrategy:
    return hnp.arrays(np.float32, shape, elements=st.floats(low, high, width=32))


def latents(max_batch: int = 4) -> st.SearchStrategy:
    shapes = st.tuples(st.integers(1, max_batch), st.integers(1, 16).map(lambda n: 2 * n))
    return reals(-64, 64, shapes)


def table_of_full_scales() -> list[tuple[ChannelModel, float, float, float, float]]:
    """Rows of docs/wire-format.md: channel, SNR [dB], full scale, clipping rate, EVM [dB]."""
    document = Path(__file__).parents[2] / "docs" / "wire-format.md"
    rows = re.findall(
        r"^\| (ideal|awgn|rayleigh) \| (-?\d+) \| (\d+) \| ([\d.e+-]+) \| (-[\d.]+) \|$",
        document.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return [
        (ChannelModel(channel), float(snr_db), float(full_scale), float(clipping_rate), float(evm_db))
        for channel, snr_db, full_scale, clipping_rate, evm_db in rows
    ]


class TestFormats:
    def test_constants_of_the_wire(self) -> None:
        assert FULL_SCALE == 8.0
        assert [(f.name, f.value, f.dtype.str, f.symbol_bytes) for f in CodesFormat] == [
            ("SC8", 1, "|i1", 2),
            ("SC16", 2, "<i2", 4),
            ("CF32", 3, "<f4", 8),
        ]
        assert [f.max_code for f in INTEGER_FORMATS] == [127, 32767]

    def test_cf32_has_no_largest_code(self) -> None:
        with pytest.raises(ConfigError, match="cf32 holds floats"):
            _ = CodesFormat.CF32.max_code

    @pytest.mark.parametrize("codes_format", CodesFormat)
    def test_names(self, codes_format: CodesFormat) -> None:
        assert CodesFormat.parse(codes_format.name.lower()) is codes_format

    @pytest.mark.parametrize("text", ["", "sc32", "int8", " sc8"])
    def test_unknown_name(self, text: str) -> None:
        with pytest.raises(ConfigError, match="must be sc8, sc16 or cf32"):
            CodesFormat.parse(text)


class TestInversePairs:
    @given(latents())
    def test_pairing(self, latent: np.ndarray) -> None:
        symbols = pair_latent(latent)
        assert symbols.dtype == np.complex64
        assert symbols.shape == (latent.shape[0], latent.shape[1] // 2)
        np.testing.assert_array_equal(symbols.real, latent[:, 0::2])
        np.testing.assert_array_equal(symbols.imag, latent[:, 1::2])
        np.testing.assert_array_equal(unpair_symbols(symbols), latent)

    def test_pairing_of_a_strided_view(self) -> None:
        wide = np.arange(24, dtype=np.float32).reshape(2, 12)
        np.testing.assert_array_equal(unpair_symbols(pair_latent(wide[:, ::2])), wide[:, ::2])

    @pytest.mark.parametrize("shape", [(3,), (2, 5), ()])
    def test_odd_latent(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ConfigError, match="latent must end in an even axis"):
            pair_latent(np.zeros(shape, dtype=np.float32))

    @pytest.mark.parametrize("codes_format", INTEGER_FORMATS)
    @given(pairs=reals(-FULL_SCALE, FULL_SCALE, (5, 6)))
    def test_within_half_a_step(self, codes_format: CodesFormat, pairs: np.ndarray) -> None:
        symbols = pair_latent(pairs)
        restored = unpair_symbols(dequantize(quantize(symbols, codes_format), codes_format))
        half_step = 0.5 * FULL_SCALE / codes_format.max_code
        # float32 knows values near full scale to 1e-6.
        assert np.abs(restored.astype(np.float64) - pairs).max() <= half_step + 1e-6

    @pytest.mark.parametrize("codes_format", INTEGER_FORMATS)
    def test_every_code_survives(self, codes_format: CodesFormat) -> None:
        limit = codes_format.max_code
        codes = np.arange(-limit, limit + 1).astype(codes_format.dtype).repeat(2).reshape(-1, 2)
        np.testing.assert_array_equal(quantize(dequantize(codes, codes_format), codes_format), codes)

    @given(reals(-MAX_AMPLITUDE, MAX_AMPLITUDE, (3, 4)))
    def test_cf32_is_lossless(self, pairs: np.ndarray) -> None:
        symbols = pair_latent(pairs)
        codes = quantize(symbols, CodesFormat.CF32)
        assert codes.dtype == np.float32
        np.testing.assert_array_equal(dequantize(codes, CodesFormat.CF32), symbols)

    def test_rounds_to_even(self) -> None:
        step = FULL_SCALE / 127
        symbols = np.array([0.5 + 1.5j, -0.5 - 2.5j], dtype=np.complex128) * step
        np.testing.assert_array_equal(quantize(symbols.astype(np.complex64)), [[0, 2], [0, -2]])

    @pytest.mark.parametrize("shape", [(0,), (7,), (2, 3), (2, 0)])
    @pytest.mark.parametrize("codes_format", CodesFormat)
    def test_shapes(self, codes_format: CodesFormat, shape: tuple[int, ...]) -> None:
        symbols = np.ones(shape, dtype=np.complex64)
        codes = quantize(symbols, codes_format)
        assert codes.shape == (*shape, 2)
        assert dequantize(codes, codes_format).shape == shape

    @pytest.mark.parametrize("codes_format", CodesFormat)
    def test_codes_in_any_memory_order(self, codes_format: CodesFormat) -> None:
        codes = quantize(complex_normal((6,), np.random.default_rng(0)), codes_format)
        np.testing.assert_array_equal(
            dequantize(np.asfortranarray(codes), codes_format), dequantize(codes, codes_format)
        )


class TestClipping:
    @pytest.mark.parametrize("codes_format", INTEGER_FORMATS)
    def test_beyond_full_scale(self, codes_format: CodesFormat) -> None:
        limit = codes_format.max_code
        symbols = np.array([8.0 - 8.0j, 9.0 - 100.0j, 1e30 - 1e30j], dtype=np.complex64)
        np.testing.assert_array_equal(quantize(symbols, codes_format), [[limit, -limit]] * 3)

    def test_the_code_that_no_sender_makes(self) -> None:
        """-128 is a valid int8; a receiver reads it on the same line."""
        assert dequantize(np.array([[-128, 0]], np.int8))[0].real == pytest.approx(-8.0 * 128 / 127)

    @pytest.mark.parametrize("value", NOT_FINITE)
    @pytest.mark.parametrize("codes_format", CodesFormat)
    def test_quantize_refuses_what_is_not_finite(self, codes_format: CodesFormat, value: complex) -> None:
        with pytest.raises(ConfigError, match="not finite"):
            quantize(np.array([1.0, value], dtype=np.complex64), codes_format)

    def test_cf32_refuses_amplitudes_that_would_overflow(self) -> None:
        with pytest.raises(ConfigError, match="up to 1e\\+06"):
            quantize(np.array([2e6j], dtype=np.complex64), CodesFormat.CF32)


class TestForeignCodes:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e6, 3e38])
    def test_cf32_values(self, value: float) -> None:
        with pytest.raises(DecodeError, match="not finite or exceeds 1e\\+06"):
            dequantize(np.array([[0.0, value]], dtype=np.float32), CodesFormat.CF32)

    @pytest.mark.parametrize(
        ("codes", "codes_format"),
        [
            (np.zeros((4, 2), np.int16), CodesFormat.SC8),
            (np.zeros((4, 2), np.uint8), CodesFormat.SC8),
            (np.zeros((4, 2), np.int8), CodesFormat.SC16),
            (np.zeros((4, 2), ">i2"), CodesFormat.SC16),
            (np.zeros((4, 2), np.float64), CodesFormat.CF32),
            (np.zeros((4, 3), np.int8), CodesFormat.SC8),
            (np.zeros(4, np.int8), CodesFormat.SC8),
        ],
    )
    def test_dtype_and_shape(self, codes: np.ndarray, codes_format: CodesFormat) -> None:
        with pytest.raises(DecodeError, match=f"{codes_format.name.lower()} codes must be"):
            dequantize(codes, codes_format)


class TestPower:
    @given(latents(max_batch=1), st.integers(1, 8), st.integers(0, 7))
    def test_does_not_depend_on_the_batch(self, latent: np.ndarray, batch: int, place: int) -> None:
        """Bit for bit: an image's symbols are its own, whatever it is sent with."""
        others = np.random.default_rng(batch).standard_normal((batch, latent.shape[1])).astype(np.float32) * 100
        others[place % batch] = latent[0]
        alone = normalize_power(pair_latent(latent))[0]
        np.testing.assert_array_equal(normalize_power(pair_latent(others))[place % batch], alone)

    @given(latents())
    def test_is_one(self, latent: np.ndarray) -> None:
        power = np.mean(np.abs(normalize_power(pair_latent(latent))) ** 2, axis=-1)
        loud = np.abs(latent).max(axis=-1) > 1e-9
        np.testing.assert_allclose(power[loud], 1.0, rtol=1e-5)

    @pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
    def test_scale_of_the_latent_is_not_sent(self, scale: float) -> None:
        symbols = complex_normal((2, 64), np.random.default_rng(0))
        np.testing.assert_allclose(
            normalize_power(symbols * np.float32(scale)), normalize_power(symbols), rtol=1e-5, atol=1e-7
        )

    def test_silence_stays_silent(self) -> None:
        assert not normalize_power(np.zeros((2, 4), dtype=np.complex64)).any()


class TestQuality:
    """The figures that docs/wire-format.md, "IQ payload", states."""

    def test_transmitted_symbols(self) -> None:
        symbols = normalize_power(complex_normal((200, 1024), np.random.default_rng(0)))
        sc8, sc16 = (measure_quantization(symbols, codes_format) for codes_format in INTEGER_FORMATS)
        # Uniform noise of a step q = 8 / max_code in each dimension: 10 log10(2 q^2 / 12).
        assert sc8.evm_db == pytest.approx(10 * np.log10((8 / 127) ** 2 / 6), abs=0.1)
        assert sc16.evm_db == pytest.approx(10 * np.log10((8 / 32767) ** 2 / 6), abs=0.1)
        assert sc8.evm_db <= -31.0
        assert sc16.evm_db <= -79.0
        assert sc8.clipping_rate == sc16.clipping_rate == 0.0

    def test_why_full_scale_is_wide(self) -> None:
        """Every row of the document's table is measured again."""
        rows = table_of_full_scales()
        assert len(rows) == 14
        for model, snr_db, full_scale, clipping_rate, evm_db in rows:
            rng = np.random.default_rng(0)
            sent = normalize_power(complex_normal((1000, 1024), rng))
            observation = apply_channel(sent, model, snr_db=snr_db, rng=rng).symbols
            quality = measure_quantization(observation * np.float32(FULL_SCALE / full_scale))
            row = f"{model.value} {snr_db} {full_scale}"
            assert quality.clipping_rate == pytest.approx(clipping_rate, rel=0.2, abs=1.5e-5), row
            assert quality.evm_db == pytest.approx(evm_db, abs=0.3), row

    def test_cf32_costs_nothing(self) -> None:
        quality = measure_quantization(complex_normal((16,), np.random.default_rng(0)), CodesFormat.CF32)
        assert (quality.clipping_rate, quality.evm_db) == (0.0, float("-inf"))

    def test_clipping_is_counted(self) -> None:
        assert measure_quantization(np.array([9.0 + 0.0j, 1.0], dtype=np.complex64)).clipping_rate == 0.25

    def test_silence_has_no_evm(self) -> None:
        with pytest.raises(ConfigError, match="no power"):
            measure_quantization(np.zeros(4, dtype=np.complex64))
