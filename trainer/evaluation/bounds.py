"""How well any code could send an entry's number: the finite-blocklength bound, a line beside `index`."""

from __future__ import annotations

import math

from scipy import stats

from semlink.rates import Rate

__all__ = ["message_error_rate"]


def message_error_rate(num_messages: int, rate: Rate, snr_db: float) -> float:
    """Error rate of the best code on the complex AWGN channel, by the normal approximation.

    A bound for who sends one of so many messages. Who needs only the category, or is right with a
    look-alike too, is not bound by it.

    Polyanskiy, Poor, Verdu, "Channel coding rate in the finite blocklength regime", IEEE Trans. Inf.
    Theory 56(5), 2010, eq. 296; n complex uses are 2n real ones. An approximation: below
    a few dozen symbols it is off by some points, to either side.

    Parameters
    ----------
    num_messages : how many there are to tell apart, such as the entries of a knowledge base
    rate : gives n, the channel uses
    snr_db : Es/N0 [dB]

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
