"""The rates of the link: how many complex symbols one image may cost.

Source of the definitions: docs/definitions.md, "Rate and CBR".
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from semlink.errors import ConfigError, DecodeError

__all__ = ["PAPER_RATES", "RATES", "Rate", "channel_bandwidth_ratio", "parse_rate", "rate_of_id"]

_REALS_OF_A_NAME = 32 * 32 * 3
"""Source reals of the images of the paper, CIFAR-100's, whatever the size of those that are sent."""


@dataclass(frozen=True)
class Rate:
    """One row of the rate table.

    Attributes
    ----------
    rate_id : number that the frame carries; part of the wire format, never renumbered
    num_symbols : complex symbols (channel uses) a transmission takes, pilots not counted
    """

    rate_id: int
    num_symbols: int

    @property
    def latent_dim(self) -> int:
        """k: real numbers behind the symbols, two for each."""
        return 2 * self.num_symbols

    @property
    def name(self) -> str:
        """The CBR of an image of 32 x 32 pixels as a fraction: the paper's way to name a rate."""
        ratio = Fraction(self.num_symbols, _REALS_OF_A_NAME)
        return f"{ratio.numerator}/{ratio.denominator}"


RATES: tuple[Rate, ...] = tuple(Rate(i, n) for i, n in enumerate((4, 8, 16, 32, 64, 128, 256, 512, 1024)))
"""The wire's rate table. Only ever appended to."""

PAPER_RATES: tuple[Rate, ...] = tuple(rate for rate in RATES if rate.num_symbols >= 64)
"""CBR 1/48, 1/24, 1/12, 1/6 and 1/3 of a 32 x 32 x 3 image (arXiv 2504.01053)."""


def rate_of_id(rate_id: int) -> Rate:
    """Look up a rate by the number that a frame carries.

    Raises
    ------
    DecodeError
        If the table has no such row: the peer is newer, or its bytes are bad.
    """
    if not 0 <= rate_id < len(RATES):
        raise DecodeError(f"rate id {rate_id} is not in the rate table (0..{len(RATES) - 1})")
    return RATES[rate_id]


def parse_rate(text: str) -> Rate:
    """Read a rate as people write it: a number of symbols, or a CBR of the paper's.

    Raises
    ------
    ConfigError
        If it is neither.

    Examples
    --------
    >>> parse_rate("1/48") == parse_rate("64")
    True
    """
    for rate in RATES:
        if text.strip() in (rate.name, str(rate.num_symbols)):
            return rate
    known = ", ".join(f"{rate.num_symbols} ({rate.name})" for rate in RATES)
    raise ConfigError(f'rate "{text}" is unknown; use a number of symbols, or their CBR for 32 x 32 pixels: {known}')


def channel_bandwidth_ratio(num_symbols: int, *, height_px: int, width_px: int) -> float:
    """CBR: channel uses per source real, n / (H * W * 3).

    Examples
    --------
    >>> channel_bandwidth_ratio(64, height_px=32, width_px=32) == 1 / 48
    True
    """
    if height_px < 1 or width_px < 1:
        raise ConfigError(f"image size must be at least 1 x 1, got {width_px} x {height_px}")
    return num_symbols / (height_px * width_px * 3)
