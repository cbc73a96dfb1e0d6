"""How strong the noise is, from what a receiver hears and nothing else.

Without pilots: a transmission has unit mean power, so what is heard above 1 is noise. With pilots:
what is left of them when the gain that they show is taken out. One image is too short to tell, so
the estimate is a running mean over the stream's images.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict

import numpy as np

from edge_rx.equalizer import estimate_gain
from semlink.channel import pilot_symbols
from semlink.errors import DecodeError
from semlink.iq import Symbols
from semlink.sequence import MAX_STREAMS

__all__ = ["MIN_NOISE_VARIANCE", "NoiseEstimator", "NoiseEstimators", "zero_forcing"]

_log = logging.getLogger(__name__)

MIN_NOISE_VARIANCE = 1e-3
"""Floor of every estimate: 30 dB, the noise of the codes themselves."""

_MAX_NOISE_VARIANCE = 1e3
"""Ceiling of one image's estimate, -30 dB: nothing comes through there, and one absurd frame is soon forgotten."""

_PLAUSIBLE_DEFICIT = 0.02
"""Power below 1 that quantization and chance explain."""

_MEMORY = 64
"""The first so many images of a stream count alike; a later one counts as one part in so many."""

_LEAST_IMAGES, _LEAST_SYMBOLS = 8, 256
"""Of a stream, before the spread of its images' powers says anything."""

_MOST_SPREAD = 9.0
"""Of images' powers around their mean, in units of the variance that noise gives them: more is a gain that changes."""

_MIN_STRENGTH = 1e-6
"""Of a gain: a fade of 60 dB is told as one, and not as an infinite noise."""


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
        self._is_told = False

    @property
    def snr_db(self) -> float | None:
        """Es/N0 as far as it is known [dB], 30 dB at the most.

        None before the first image, and where less power came than was sent, or powers vary more than noise explains:
        then the gain is not 1, or a burst erases symbols, and what is heard above 1 says nothing of the noise.
        """
        if not self._count or self._mean < -_PLAUSIBLE_DEFICIT or self._detects_fading:
            return None
        return -10.0 * math.log10(max(self._mean, MIN_NOISE_VARIANCE))

    def update(self, noise_variance: float) -> float:
        """Take one image's own estimate in; give the stream's, at least `MIN_NOISE_VARIANCE`."""
        self._count += 1
        noise_variance = min(noise_variance, _MAX_NOISE_VARIANCE)
        self._mean += (noise_variance - self._mean) / min(self._count, _MEMORY)
        return max(self._mean, MIN_NOISE_VARIANCE)

    def update_by_power(self, power: float, *, num_symbols: int) -> float:
        """The same for an image without pilots, from its symbols' mean power; a stream that fades is told once."""
        estimate = self.update(power - 1.0)
        share = 1.0 / min(self._count, _MEMORY)
        self._variance += ((power - 1.0 - self._mean) ** 2 - self._variance) * share
        self._per_symbol += (1.0 / num_symbols - self._per_symbol) * share
        if self._detects_fading and not self._is_told:
            self._is_told = True
            _log.warning(
                "a stream without pilots comes with powers that noise does not explain: it fades, and then nobody can"
                " know its phase; send pilots: semlink tx --pilots 8"
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
    """One estimator for each of the `MAX_STREAMS` streams heard last."""

    def __init__(self) -> None:
        self._by_stream: OrderedDict[int, NoiseEstimator] = OrderedDict()

    def of(self, stream_id: int) -> NoiseEstimator:
        """That stream's, new if it was not heard lately."""
        if stream_id not in self._by_stream:
            self._by_stream[stream_id] = NoiseEstimator()
            if len(self._by_stream) > MAX_STREAMS:
                self._by_stream.popitem(last=False)
        self._by_stream.move_to_end(stream_id)
        return self._by_stream[stream_id]

    def snr_db(self) -> dict[int, float]:
        """Es/N0 of each stream that has been heard, 0 dB being unit power over unit noise [dB]."""
        observation = ((stream_id, estimator.snr_db) for stream_id, estimator in self._by_stream.items())
        return {stream_id: snr_db for stream_id, snr_db in observation if snr_db is not None}


def zero_forcing(received: Symbols, *, num_pilots: int, estimator: NoiseEstimator) -> tuple[Symbols, float]:
    """Split off the pilots, divide by the gain that they make likely, and say how much noise is left.

    Unlike `edge_rx.equalizer.equalize`, which leaves the magnitude alone: whoever weighs likelihoods
    is not misled by a fade, which this tells as noise.

    Parameters
    ----------
    received : (num_pilots + n,) complex64, pilots first, as heard
    num_pilots : how many there are; 0 promises a gain of 1
    estimator : of the stream that the image belongs to

    Returns
    -------
    symbols : (n,) complex64, as sent but for the noise
    noise_variance : N0 of `symbols`, what the pilots leave unknown of the gain counted in

    Raises
    ------
    DecodeError
        With 1 pilot, from which gain and noise cannot both be told.
    """
    if num_pilots == 1:
        raise DecodeError("one pilot cannot tell gain and noise apart; the transmitter must send none, or at least 2")
    if num_pilots == 0:
        power = float(np.mean(np.abs(received) ** 2))
        return received, estimator.update_by_power(power, num_symbols=len(received))
    pilots, data = received[:num_pilots], received[num_pilots:]
    gain = estimate_gain(pilots)
    rest = pilots - gain * pilot_symbols(num_pilots)
    noise_variance = estimator.update(float(np.sum(np.abs(rest) ** 2)) / (num_pilots - 1))
    # The mean of the gain given its estimate, for E|h|^2 = 1: an estimate alone is too large, by its own error.
    spread = noise_variance / num_pilots
    gain = gain / (1.0 + spread)
    strength = max(float(np.abs(gain[0]) ** 2), _MIN_STRENGTH)
    left = noise_variance + spread / (1.0 + spread)
    return np.asarray(data * gain.conj() / strength, dtype=np.complex64), left / strength
