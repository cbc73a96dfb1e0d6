"""Estimation of each stream's noise variance from its received symbols.

Without pilots: a transmission has unit mean power, so the received power above 1 is the noise variance. With pilots:
the residual of the pilots after their estimated gain is removed. One image is too short for a good estimate, so it is
a running mean over the stream's images.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict

import numpy as np

from edge_rx.equalizer import estimate_gain, zero_forcing
from semlink.channel import pilot_symbols
from semlink.errors import DecodeError
from semlink.iq import Symbols
from semlink.sequence import MAX_STREAMS

__all__ = ["MIN_NOISE_VARIANCE", "NoiseEstimator", "NoiseEstimators", "equalize_and_estimate"]

_log = logging.getLogger(__name__)

MIN_NOISE_VARIANCE = 1e-3
"""Floor of every estimate: 30 dB, the quantization noise of the codes."""

_MAX_NOISE_VARIANCE = 1e3
"""Ceiling of one image's estimate, -30 dB, so that one absurd frame does not dominate the mean."""

_PLAUSIBLE_DEFICIT = 0.02
"""Power below 1 that quantization and random fluctuation explain."""

_MEMORY = 64
"""Length of the running mean in images: equal weights up to it, exponential forgetting after it."""

_LEAST_IMAGES = 8
"""Least number of a stream's images that its power variance is estimated from."""

_LEAST_SYMBOLS = 256
"""Least number of symbols of those images."""

_MOST_SPREAD = 9.0
"""Largest ratio of the images' power variance to the variance that noise explains; above it the gain changes."""


class NoiseEstimator:
    """Running estimate of one stream's N0.

    Examples
    --------
    >>> estimator = NoiseEstimator()
    >>> estimator.update(0.3), estimator.update(0.1)
    (0.3, 0.2)
    """

    def __init__(self) -> None:
        self._mean = 0.0
        self._count = 0
        self._variance = self._per_symbol = 0.0
        self._has_warned = False

    @property
    def snr_db(self) -> float | None:
        """Estimated Es/N0 [dB], at most 30 dB.

        None before the first image, and if the power is below 1 or varies more than noise explains: then the gain is
        not 1, or bursts erase symbols, and the received power is no measure of the noise.
        """
        if not self._count or self._mean < -_PLAUSIBLE_DEFICIT or self._detects_fading:
            return None
        return -10.0 * math.log10(max(self._mean, MIN_NOISE_VARIANCE))

    def update(self, noise_variance: float) -> float:
        """Update with one image's estimate; return the stream's, at least `MIN_NOISE_VARIANCE`."""
        self._count += 1
        noise_variance = min(noise_variance, _MAX_NOISE_VARIANCE)
        self._mean += (noise_variance - self._mean) / min(self._count, _MEMORY)
        return max(self._mean, MIN_NOISE_VARIANCE)

    def update_by_power(self, power: float, *, num_symbols: int) -> float:
        """Update with the mean power of an image without pilots; a stream that fades is logged once."""
        power = min(power, 1.0 + _MAX_NOISE_VARIANCE)
        estimate = self.update(power - 1.0)
        share = 1.0 / min(self._count, _MEMORY)
        self._variance += ((power - 1.0 - self._mean) ** 2 - self._variance) * share
        self._per_symbol += (1.0 / num_symbols - self._per_symbol) * share
        if self._detects_fading and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "the power of a stream without pilots varies more than noise explains, so its channel fades; the"
                " receiver needs pilots to estimate the phase: semlink tx --pilots 8"
            )
        return estimate

    @property
    def _detects_fading(self) -> bool:
        noise_variance = max(self._mean, MIN_NOISE_VARIANCE)
        # Of unit power and circular noise, the mean power of n symbols has the variance (2 N0 + N0^2) / n.
        explained = (2.0 * noise_variance + noise_variance**2) * self._per_symbol + _PLAUSIBLE_DEFICIT**2
        is_known = self._count >= max(_LEAST_IMAGES, _LEAST_SYMBOLS * self._per_symbol)
        return is_known and self._variance > _MOST_SPREAD * explained


class NoiseEstimators:
    """One estimator for each of the `MAX_STREAMS` most recent streams."""

    def __init__(self) -> None:
        self._by_stream: OrderedDict[int, NoiseEstimator] = OrderedDict()

    def of(self, stream_id: int) -> NoiseEstimator:
        """The estimator of a stream, new if the stream is not among the most recent ones."""
        if stream_id not in self._by_stream:
            self._by_stream[stream_id] = NoiseEstimator()
            if len(self._by_stream) > MAX_STREAMS:
                self._by_stream.popitem(last=False)
        self._by_stream.move_to_end(stream_id)
        return self._by_stream[stream_id]

    def snr_db(self) -> dict[int, float]:
        """Estimated Es/N0 of each stream that has an estimate [dB]."""
        estimates = ((stream_id, estimator.snr_db) for stream_id, estimator in self._by_stream.items())
        return {stream_id: snr_db for stream_id, snr_db in estimates if snr_db is not None}


def equalize_and_estimate(received: Symbols, *, num_pilots: int, estimator: NoiseEstimator) -> tuple[Symbols, float]:
    """Update a stream's noise estimate with one transmission, and equalise it by zero forcing.

    Parameters
    ----------
    received : (num_pilots + n,) complex64, pilots first
    num_pilots : number of pilots; with 0 the gain is taken to be 1
    estimator : noise estimator of the transmission's stream

    Returns
    -------
    symbols : (n,) complex64, equalised
    noise_variance : N0 of `symbols`

    Raises
    ------
    DecodeError
        With 1 pilot, from which gain and noise cannot both be estimated.
    """
    if num_pilots == 1:
        raise DecodeError("one pilot cannot separate gain and noise; the transmitter must send none, or at least 2")
    if num_pilots == 0:
        power = float(np.mean(np.abs(received) ** 2))
        return received, estimator.update_by_power(power, num_symbols=len(received))
    pilots = received[:num_pilots]
    residual = pilots - estimate_gain(pilots) * pilot_symbols(num_pilots)
    noise_variance = estimator.update(float(np.sum(np.abs(residual) ** 2)) / (num_pilots - 1))
    return zero_forcing(received, num_pilots=num_pilots, noise_variance=noise_variance)
