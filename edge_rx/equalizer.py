"""Equalisation of a block with the gain that its pilots show: of the phase alone, or by zero forcing.

    equalize_phase   y conj(h) / |h|      for decoders with a network
    zero_forcing     y conj(h) / |h|^2    for detectors that weigh likelihoods

Over a block the gain's magnitude is one real factor of the whole query, and a search by cosine ignores it. Dividing by
it would give a network inputs far from its training range in a fade, so those decoders equalise the phase alone. A
detector that weighs likelihoods divides, and scales the noise variance accordingly.

Without pilots the symbols pass unchanged, which is right on a channel of gain 1 (AWGN behind an ideal synchroniser) and
wrong under fading.
"""

from __future__ import annotations

import numpy as np

from semlink.channel import pilot_symbols
from semlink.iq import Symbols

__all__ = ["derotate", "equalize_phase", "estimate_gain", "zero_forcing"]

_MIN_SQUARED_GAIN = 1e-6
"""Floor of |h|^2: a deeper fade than 60 dB counts as one of 60 dB, so that the noise variance stays finite."""


def estimate_gain(received_pilots: Symbols) -> Symbols:
    """Least-squares estimate of a block's gain.

    Parameters
    ----------
    received_pilots : (..., p) complex64, p at least 1

    Returns
    -------
    gain : (..., 1) complex64, of error variance N0 / p
    """
    pilots = pilot_symbols(received_pilots.shape[-1])
    return np.asarray(np.mean(received_pilots * pilots.conj(), axis=-1, keepdims=True), dtype=np.complex64)


def derotate(symbols: Symbols, gain: Symbols) -> Symbols:
    """Undo the phase of a gain: y conj(h) / |h|; a gain of zero leaves symbols as they are.

    Parameters
    ----------
    symbols : (..., n) complex64
    gain : (..., 1) or (..., n) complex64
    """
    magnitude = np.abs(gain)
    rotation = np.where(magnitude > 0, gain.conj() / np.maximum(magnitude, np.finfo(np.float32).tiny), 1.0)
    return np.asarray(symbols * rotation, dtype=np.complex64)


def equalize_phase(received: Symbols, *, num_pilots: int) -> Symbols:
    """Split off the pilots, and undo the phase that they show.

    Parameters
    ----------
    received : (..., num_pilots + n) complex64, pilots first
    num_pilots : how many there are; with 0 the symbols pass unchanged

    Returns
    -------
    symbols : (..., n) complex64
    """
    if num_pilots == 0:
        return received
    return derotate(received[..., num_pilots:], estimate_gain(received[..., :num_pilots]))


def zero_forcing(received: Symbols, *, num_pilots: int, noise_variance: float) -> tuple[Symbols, float]:
    """Split off the pilots, and divide the data by the gain that they show.

    The gain is the conditional mean given its least-squares estimate for E|h|^2 = 1, because the estimate alone is too
    large by its own error.

    Parameters
    ----------
    received : (num_pilots + n,) complex64, pilots first
    num_pilots : at least 2
    noise_variance : N0 of `received`

    Returns
    -------
    symbols : (n,) complex64
    noise_variance : N0 of `symbols`, with the error of the gain estimate counted in
    """
    error_variance = noise_variance / num_pilots
    gain = estimate_gain(received[:num_pilots]) / (1.0 + error_variance)
    squared = max(float(np.abs(gain[0]) ** 2), _MIN_SQUARED_GAIN)
    total = noise_variance + error_variance / (1.0 + error_variance)
    return np.asarray(received[num_pilots:] * gain.conj() / squared, dtype=np.complex64), total / squared
