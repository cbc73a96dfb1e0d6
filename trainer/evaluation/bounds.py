"""Finite-blocklength bound on sending one of a number of messages, drawn beside `index` and the codecs with labels."""

from __future__ import annotations

import math

from scipy import stats

from semlink.rates import Rate

__all__ = ["message_error_rate"]


def message_error_rate(num_messages: int, rate: Rate, snr_db: float) -> float:
    """Message error rate of the best code on the complex AWGN channel, by the normal approximation.

    It bounds codecs that send one of `num_messages` messages. Semantic accuracy can be higher where another message
    of the same category is correct too.

    Polyanskiy, Poor, Verdu, "Channel coding rate in the finite blocklength regime", IEEE Trans. Inf.
    Theory 56(5), 2010, eq. 296; n complex channel uses are 2n real ones. Below a few dozen symbols the approximation
    is off by some percentage points in either direction.

    Parameters
    ----------
    num_messages : number of messages, such as the entries of a knowledge base
    rate : gives n, the number of complex channel uses
    snr_db : Es/N0 [dB]

    Returns
    -------
    error_rate : 0..1

    Examples
    --------
    >>> round(message_error_rate(5000, Rate(4, 64), -7.0), 2)
    0.1
    """
    n, snr = rate.num_symbols, 10.0 ** (snr_db / 10.0)
    capacity = math.log2(1.0 + snr)
    dispersion = snr * (snr + 2.0) / (snr + 1.0) ** 2 * math.log2(math.e) ** 2
    margin = n * capacity - math.log2(num_messages) + 0.5 * math.log2(2 * n)
    return float(stats.norm.sf(margin / math.sqrt(n * dispersion)))
