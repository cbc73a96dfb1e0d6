"""Reference channel models in numpy: y = h x + w.

The mean power of a transmission is 1, so the noise variance per complex symbol is
N0 = 10^(-SNR/10), N0/2 in each real dimension (docs/definitions.md, "SNR"). Every model takes its
randomness from the generator that the caller passes. How a receiver estimates the gains is the subject
of `edge_rx.equalizer`. A package of the user adds a channel by name: `semlink.channel_registry`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from semlink.errors import ConfigError
from semlink.iq import Symbols

__all__ = [
    "BURST_SHARE",
    "MAX_SNR_DB",
    "RICIAN_K",
    "AnyChannel",
    "ChannelModel",
    "ChannelOutput",
    "CustomChannel",
    "apply_channel",
    "apply_gains",
    "complex_normal",
    "default_num_pilots",
    "noise_variance",
    "pilot_symbols",
]

MAX_SNR_DB = 100.0
"""Range of the SNR, -100 to 100 dB: beyond it float32 loses the noise or the signal."""


class ChannelModel(str, enum.Enum):
    """Channels by the name that commands take."""

    IDEAL = "ideal"
    """y = x."""
    AWGN = "awgn"
    """y = x + w."""
    RAYLEIGH = "rayleigh"
    """Block fading: one complex gain h ~ CN(0, 1) for all symbols of a transmission."""
    RAYLEIGH_FAST = "rayleigh-fast"
    """An independent h ~ CN(0, 1) for every symbol."""
    RICIAN = "rician"
    """Block fading with a line of sight: as `rayleigh`, and `RICIAN_K` times that power in one path of random phase."""
    BURST = "burst"
    """y = x + w, and a run of `BURST_SHARE` of the symbols, anywhere, is lost: h is 0 there, 1 elsewhere."""

    @property
    def is_block_fading(self) -> bool:
        """Whether one unknown complex gain holds for a whole transmission, so that pilots are needed to estimate it."""
        return self in (ChannelModel.RAYLEIGH, ChannelModel.RICIAN)

    @property
    def rotates_phase(self) -> bool:
        """Whether gains have a random phase."""
        return self.is_block_fading or self.is_fast_fading

    @property
    def is_fast_fading(self) -> bool:
        """Whether every symbol has a gain of its own and of random phase, which only a genie knows."""
        return self is ChannelModel.RAYLEIGH_FAST


RICIAN_K = 4.0
"""Power of the line of sight over that of all other paths: 6 dB."""

BURST_SHARE = 0.25
"""Share of a transmission that a burst erases, pilots counted."""


@dataclass(frozen=True)
class ChannelOutput:
    """Received symbols, and the gains, which only a simulation has.

    Attributes
    ----------
    symbols : (..., n) complex64, received
    gains : (..., 1) or (..., n) complex64, the h of each symbol
    noise_variance : N0, total over I and Q
    """

    symbols: Symbols
    gains: Symbols
    noise_variance: float


@dataclass(frozen=True)
class CustomChannel:
    """A channel model of a user.

    Attributes
    ----------
    value : name of the channel
    apply : (symbols (..., n) complex64 of unit mean power, SNR Es/N0 [dB], generator) -> output; all randomness comes
        from the generator
    is_block_fading : whether one unknown complex gain holds for a whole transmission, which receivers estimate from
        pilots
    rotates_phase : whether gains have a random phase; with `is_block_fading` false that of each symbol is another, so
        that no pilot shows it
    """

    value: str
    apply: Callable[[Symbols, float, np.random.Generator], ChannelOutput]
    is_block_fading: bool = False
    rotates_phase: bool = False

    @property
    def is_fast_fading(self) -> bool:
        """Whether every symbol has a gain of its own and of random phase, which only a genie knows."""
        return self.rotates_phase and not self.is_block_fading


AnyChannel: TypeAlias = ChannelModel | CustomChannel


def default_num_pilots(model: AnyChannel) -> int:
    """Default number of pilots before an image: under block fading an eighth of the smallest paper rate."""
    return 8 if model.is_block_fading else 0


def noise_variance(snr_db: float) -> float:
    """N0 for unit signal power: 10^(-SNR/10).

    Raises
    ------
    ConfigError
        If `snr_db` is not within -`MAX_SNR_DB` .. `MAX_SNR_DB`.
    """
    # Written so that NaN, which compares false, is refused too.
    if not abs(snr_db) <= MAX_SNR_DB:
        raise ConfigError(f"snr_db must be from {-MAX_SNR_DB:g} to {MAX_SNR_DB:g}, got {snr_db}")
    return float(10.0 ** (-snr_db / 10.0))


def complex_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Symbols:
    """Draw CN(0, 1): circular, variance 1/2 in each real dimension; (*shape) complex64."""
    pairs = rng.standard_normal((*shape, 2), dtype=np.float32) * np.float32(np.sqrt(0.5))
    return pairs.view(np.complex64)[..., 0]


def apply_gains(symbols: Symbols, gains: Symbols, *, snr_db: float, rng: np.random.Generator) -> ChannelOutput:
    """Fade symbols and add white Gaussian noise: y = h x + w.

    Parameters
    ----------
    symbols : (..., n) complex64, x
    gains : (..., 1) or (..., n) complex64, h
    snr_db : Es/N0 for unit Es and E|h|^2 = 1 [dB]
    rng : source of the noise

    Raises
    ------
    ConfigError
        If `snr_db` is out of range, see `noise_variance`.
    """
    variance = noise_variance(snr_db)
    noise = complex_normal(symbols.shape, rng) * np.float32(np.sqrt(variance))
    return ChannelOutput(np.asarray(gains * symbols + noise, dtype=np.complex64), gains, variance)


def apply_channel(symbols: Symbols, model: AnyChannel, *, snr_db: float, rng: np.random.Generator) -> ChannelOutput:
    """Send symbols through a channel.

    Parameters
    ----------
    symbols : (..., n) complex64; the last axis is one transmission
    model : channel
    snr_db : Es/N0 for unit Es [dB]; under fading, the mean over the gains; ignored by "ideal"
    rng : source of noise and gains

    Raises
    ------
    ConfigError
        If `snr_db` is out of range, see `noise_variance`; or a user's channel returns anything but finite symbols of
        the same shape, and gains of the shapes that `ChannelOutput` states.

    Examples
    --------
    >>> x = np.ones((2, 4), np.complex64)
    >>> apply_channel(x, ChannelModel.AWGN, snr_db=10.0, rng=np.random.default_rng(0)).symbols.shape
    (2, 4)
    """
    block = (*symbols.shape[:-1], 1)
    if isinstance(model, CustomChannel):
        noise_variance(snr_db)  # refuses an SNR out of range
        return _checked(model.apply(symbols, snr_db, rng), model.value, symbols.shape)
    if model is ChannelModel.IDEAL:
        return ChannelOutput(symbols, np.ones(block, dtype=np.complex64), 0.0)
    return apply_gains(symbols, _GAINS[model](symbols.shape, rng), snr_db=snr_db, rng=rng)


def _checked(output: ChannelOutput, name: str, shape: tuple[int, ...]) -> ChannelOutput:
    """ConfigError unless a user's channel returned as many finite symbols as it was given."""
    if not isinstance(output, ChannelOutput):
        raise ConfigError(f'channel "{name}" must return a ChannelOutput, got {type(output).__name__}')
    if output.symbols.shape != shape:
        raise ConfigError(f'channel "{name}" must keep the shape of symbols, {shape}; got {output.symbols.shape}')
    block = (*shape[:-1], 1)
    if output.gains.shape not in (block, shape):
        raise ConfigError(
            f'channel "{name}" must give one gain for each transmission, {block}, or for each symbol, {shape};'
            f" got {output.gains.shape}"
        )
    if not np.isfinite(output.symbols).all():
        raise ConfigError(f'channel "{name}" returned symbols that are not finite')
    return output


def _unit_gains(shape: tuple[int, ...], rng: np.random.Generator) -> Symbols:
    return np.ones((*shape[:-1], 1), dtype=np.complex64)


def _rayleigh_gains(shape: tuple[int, ...], rng: np.random.Generator) -> Symbols:
    return complex_normal((*shape[:-1], 1), rng)


def _rician_gains(shape: tuple[int, ...], rng: np.random.Generator) -> Symbols:
    block = (*shape[:-1], 1)
    sight = np.exp(2j * np.pi * rng.random(block))
    gains = (RICIAN_K**0.5 * sight + complex_normal(block, rng)) / (RICIAN_K + 1.0) ** 0.5
    return np.asarray(gains, dtype=np.complex64)


def _burst_gains(shape: tuple[int, ...], rng: np.random.Generator) -> Symbols:
    num_symbols = shape[-1]
    num_lost = round(BURST_SHARE * num_symbols)
    starts = rng.integers(0, num_symbols - num_lost + 1, (*shape[:-1], 1))
    positions = np.arange(num_symbols)
    return np.asarray((positions < starts) | (positions >= starts + num_lost), dtype=np.complex64)


_GAINS: dict[ChannelModel, Callable[[tuple[int, ...], np.random.Generator], Symbols]] = {
    ChannelModel.AWGN: _unit_gains,
    ChannelModel.RAYLEIGH: _rayleigh_gains,
    ChannelModel.RAYLEIGH_FAST: complex_normal,
    ChannelModel.RICIAN: _rician_gains,
    ChannelModel.BURST: _burst_gains,
}


def pilot_symbols(num_pilots: int) -> Symbols:
    """Known unit-power symbols that precede the data: the QPSK corners in turn.

    Returns
    -------
    pilots : (num_pilots,) complex64, exp(i pi/4 (2 j + 1)); part of the wire format
    """
    phases = np.pi / 4 * (2 * np.arange(num_pilots) + 1)
    pilots: Symbols = np.exp(1j * phases).astype(np.complex64)
    return pilots
