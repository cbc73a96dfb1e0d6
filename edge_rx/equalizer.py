"""Undo the channel's phase with what a receiver can know: the pilots that it was sent.

Only the phase. Over a block the gain's magnitude is one real factor for the whole query, and the
search compares directions; dividing by it, by zero forcing or by minimum mean-square error, would
tell the decoder nothing new, and in a fade would hand it numbers far larger or smaller than any that
it was trained on.

Without pilots the receiver takes the symbols as they come, which is right on a channel of gain 1
(AWGN behind an ideal synchroniser) and wrong under fading.
"""

from __future__ import annotations

import numpy as np

from semlink.channel import pilot_symbols
from semlink.iq import Symbols

__all__ = ["derotate", "equalize_phase", "estimate_gain"]


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
    """Turn symbols back by the phase of their gain: y conj(h) / |h|; a gain of zero turns nothing.

    Parameters
    ----------
    symbols : (..., n) complex64
    gain : (..., 1) or (..., n) complex64
    """
    magnitude = np.abs(gain)
    turn = np.where(magnitude > 0, gain.conj() / np.maximum(magnitude, np.finfo(np.float32).tiny), 1.0)
    return np.asarray(symbols * turn, dtype=np.complex64)


def equalize_phase(received: Symbols, *, num_pilots: int) -> Symbols:
    """Split off the pilots and turn the data back by the phase that they show.

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
