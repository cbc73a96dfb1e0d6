"""Symbols to quantized I/Q codes and back.

Full scale is a constant of the format, not a field of the frame: 8.0, which is 18 dB above the
unit mean power of a transmission. It is wide because the same format carries received
symbols: at an SNR of -7 dB the standard deviation of a received I or Q is 1.7, and clipped noise
would be a channel that no radio has. sc8 then quantizes at an EVM of about -31 dB, far below the
noise of any SNR at which the link works. Source: docs/wire-format.md, "IQ payload".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from semlink.errors import ConfigError, DecodeError

__all__ = [
    "FULL_SCALE",
    "MAX_AMPLITUDE",
    "CodesFormat",
    "IQCodes",
    "QuantizationQuality",
    "Symbols",
    "count_clipped",
    "dequantize",
    "measure_quantization",
    "normalize_power",
    "pair_latent",
    "quantize",
    "unpair_symbols",
]

Symbols: TypeAlias = npt.NDArray[np.complex64]
IQCodes: TypeAlias = npt.NDArray[np.int8] | npt.NDArray[np.int16] | npt.NDArray[np.float32]

FULL_SCALE = 8.0
"""Amplitude of the largest sc8 and sc16 code, in units where a transmission's mean |x|^2 is 1."""

MAX_AMPLITUDE = 1e6
"""Largest I or Q that cf32 may hold: far beyond any receiver's, and its square is within float32."""


class CodesFormat(enum.IntEnum):
    """Sample format of the payload; the values are part of the wire format."""

    SC8 = 1
    SC16 = 2
    CF32 = 3

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of one I or Q value, little-endian."""
        return np.dtype({CodesFormat.SC8: "<i1", CodesFormat.SC16: "<i2", CodesFormat.CF32: "<f4"}[self])

    @property
    def symbol_bytes(self) -> int:
        """Bytes of one complex symbol."""
        return 2 * self.dtype.itemsize

    @property
    def max_code(self) -> int:
        """Largest integer code; the smallest is its negative, so that zero is the middle."""
        if self is CodesFormat.CF32:
            raise ConfigError("cf32 holds floats; it has no largest code")
        return int(2 ** (8 * self.dtype.itemsize - 1) - 1)

    @classmethod
    def parse(cls, text: str) -> CodesFormat:
        """Read "sc8", "sc16" or "cf32"."""
        try:
            return cls[text.upper()]
        except KeyError:
            raise ConfigError(f'codes format must be sc8, sc16 or cf32, got "{text}"') from None


def pair_latent(latent: npt.NDArray[np.float32]) -> Symbols:
    """Pair each image's own reals into symbols: x_j = l_{2j} + i l_{2j+1}.

    Parameters
    ----------
    latent : (..., 2 n) float32

    Returns
    -------
    symbols : (..., n) complex64, of the latent's power
    """
    if latent.ndim < 1 or latent.shape[-1] % 2:
        raise ConfigError(f"latent must end in an even axis, got shape {latent.shape}")
    return np.ascontiguousarray(latent, dtype=np.float32).view(np.complex64)


def unpair_symbols(symbols: Symbols) -> npt.NDArray[np.float32]:
    """Inverse of `pair_latent`: (..., n) complex64 to (..., 2 n) float32."""
    return np.ascontiguousarray(symbols, dtype=np.complex64).view(np.float32)


def normalize_power(symbols: Symbols) -> Symbols:
    """Scale each image's symbols to mean |x|^2 = 1; an all-zero image stays zero.

    Parameters
    ----------
    symbols : (..., n) complex64

    Returns
    -------
    symbols : same shape; each row alone has unit mean power, whatever the batch
    """
    power = np.mean(np.abs(symbols) ** 2, axis=-1, keepdims=True)
    return np.asarray(symbols / np.sqrt(np.maximum(power, np.finfo(np.float32).tiny)), dtype=np.complex64)


def quantize(symbols: Symbols, codes_format: CodesFormat = CodesFormat.SC8) -> IQCodes:
    """Map complex baseband symbols to I/Q codes: round to nearest even, clip at full scale.

    Parameters
    ----------
    symbols : (..., n) complex64, finite

    Returns
    -------
    codes : (..., n, 2) int8, int16 or (cf32) float32; last axis is I, Q

    Raises
    ------
    ConfigError
        If a value is NaN or infinite, which no code represents, or exceeds `MAX_AMPLITUDE` in cf32.
    """
    pairs = unpair_symbols(symbols).reshape(*symbols.shape, 2)
    if not np.isfinite(pairs).all():
        raise ConfigError(
            "symbols hold a value that is not finite, which has no code; the model that made them is broken"
        )
    if codes_format is CodesFormat.CF32:
        if np.abs(pairs).max(initial=0.0) > MAX_AMPLITUDE:
            raise ConfigError(f"cf32 holds amplitudes up to {MAX_AMPLITUDE:g}; scale the symbols to unit power")
        return pairs
    limit = codes_format.max_code
    scaled = np.rint(pairs * np.float32(limit / FULL_SCALE))
    codes: IQCodes = np.clip(scaled, -limit, limit).astype(codes_format.dtype)
    return codes


def dequantize(codes: IQCodes, codes_format: CodesFormat = CodesFormat.SC8) -> Symbols:
    """Map I/Q codes back to complex baseband symbols.

    Parameters
    ----------
    codes : (..., n, 2) of the format's dtype; last axis is I, Q

    Returns
    -------
    symbols : (..., n) complex64, mean power about 1 where no channel has been

    Raises
    ------
    DecodeError
        If the dtype is not the format's, the last axis is not 2, or a cf32 value is not finite
        or exceeds `MAX_AMPLITUDE`.

    Examples
    --------
    >>> dequantize(np.array([[127, -127]], np.int8))
    array([8.-8.j], dtype=complex64)
    """
    if codes.dtype != codes_format.dtype or codes.ndim < 2 or codes.shape[-1] != 2:
        wanted = f"(..., n, 2) {codes_format.dtype}"
        raise DecodeError(f"{codes_format.name.lower()} codes must be {wanted}, got {codes.shape} {codes.dtype}")
    pairs = codes.astype(np.float32, order="C")
    if codes_format is CodesFormat.CF32:
        # Written so that NaN, which compares false, is refused too.
        if not np.all(np.abs(pairs) <= MAX_AMPLITUDE):
            raise DecodeError(f"cf32 codes hold a value that is not finite or exceeds {MAX_AMPLITUDE:g}")
    else:
        pairs *= np.float32(FULL_SCALE / codes_format.max_code)
    return pairs.view(np.complex64)[..., 0]


@dataclass(frozen=True)
class QuantizationQuality:
    """Loss of a quantization.

    Attributes
    ----------
    clipping_rate : share of I and Q values at the largest or smallest code, 0..1
    evm_db : error power over signal power [dB]; -inf if nothing was lost
    """

    clipping_rate: float
    evm_db: float


def measure_quantization(symbols: Symbols, codes_format: CodesFormat = CodesFormat.SC8) -> QuantizationQuality:
    """Quantize, dequantize, and measure the loss; `symbols` is (..., n) complex64 of non-zero power."""
    codes = quantize(symbols, codes_format)
    error = dequantize(codes, codes_format) - symbols
    error_power, power = float(np.mean(np.abs(error) ** 2)), float(np.mean(np.abs(symbols) ** 2))
    if power <= 0.0:
        raise ConfigError("symbols have no power, so an error relative to it is undefined")
    evm_db = float("-inf") if error_power == 0.0 else 10.0 * float(np.log10(error_power / power))
    return QuantizationQuality(count_clipped(codes, codes_format) / max(1, codes.size), evm_db)


def count_clipped(codes: IQCodes, codes_format: CodesFormat) -> int:
    """How many I and Q values are at the end of the format's range; that of cf32 is `MAX_AMPLITUDE`."""
    limit = MAX_AMPLITUDE if codes_format is CodesFormat.CF32 else codes_format.max_code
    return int(np.count_nonzero((codes >= limit) | (codes <= -limit)))
