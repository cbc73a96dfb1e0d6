"""Undo the channel's gain with what a receiver can know: the pilots that it was sent.

Without pilots the receiver takes the symbols as they come, which is right on a channel of gain 1
(AWGN behind an ideal synchroniser) and wrong under fading.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from semlink.channel import pilot_symbols
from semlink.iq import Symbols

__all__ = ["GainEstimate", "equalize", "estimate_gain", "mmse_equalize"]


@dataclass(frozen=True)
class GainEstimate:
    """Least-squares estimate of a block's gain, and of N0 from what the pilots leave unexplained.

    Attributes
    ----------
    gain : (..., 1) complex64
    noise_variance : (..., 1) float32, total over I and Q
    """

    gain: Symbols
    noise_variance: np.ndarray


def estimate_gain(received_pilots: Symbols) -> GainEstimate:
    """Estimate h and N0 from (..., p) received pilots, p at least 2.

    The residual of p equations in one complex unknown has p - 1 degrees of freedom.
    """
    pilots = pilot_symbols(received_pilots.shape[-1])
    gain = np.mean(received_pilots * pilots.conj(), axis=-1, keepdims=True)
    residual = np.abs(received_pilots - gain * pilots) ** 2
    variance = residual.sum(axis=-1, keepdims=True) / max(1, pilots.size - 1)
    return GainEstimate(gain.astype(np.complex64), variance.astype(np.float32))


def mmse_equalize(symbols: Symbols, estimate: GainEstimate) -> Symbols:
    """Minimum mean-square-error estimate of unit-power symbols: conj(h) y / (|h|^2 + N0)."""
    power = np.abs(estimate.gain) ** 2 + estimate.noise_variance
    weight = estimate.gain.conj() / np.maximum(power, np.finfo(np.float32).tiny)
    return np.asarray(symbols * weight, dtype=np.complex64)


def equalize(received: Symbols, *, num_pilots: int) -> Symbols:
    """Split off the pilots and equalise the data with what they say.

    Parameters
    ----------
    received : (..., num_pilots + n) complex64, pilots first
    num_pilots : 0 (symbols pass unchanged) or at least 2

    Returns
    -------
    symbols : (..., n) complex64
    """
    if num_pilots == 0:
        return received
    return mmse_equalize(received[..., num_pilots:], estimate_gain(received[..., :num_pilots]))
