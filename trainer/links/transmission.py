"""Symbols from transmitter to receiver in batches: exactly what tx, channel and rx do to them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_rx.noise import MIN_NOISE_VARIANCE, NoiseEstimator, equalize_and_estimate
from semlink.channel import apply_channel, pilot_symbols
from semlink.iq import CodesFormat, Symbols, dequantize, quantize
from trainer.links.conditions import Csi, LinkConditions

__all__ = ["transmit", "transmit_and_equalize"]

_CODES_FORMAT = CodesFormat.SC8

_MIN_STRENGTH = 1e-12
"""Floor of an image's mean |h|^2 at a genie: a channel of the user may lose a whole transmission."""


def transmit(data: Symbols, conditions: LinkConditions, rng: np.random.Generator) -> tuple[Symbols, Symbols]:
    """Put pilots in front of the data and send both through the channel.

    Parameters
    ----------
    data : (batch, n) complex64, of unit mean power in each row

    Returns
    -------
    observation : (batch, num_pilots + n) complex64
    gains : (batch, 1) or (batch, num_pilots + n) complex64, which only a genie knows
    """
    pilots = np.broadcast_to(pilot_symbols(conditions.num_pilots), (len(data), conditions.num_pilots))
    if conditions.constellation is not None:
        data = conditions.constellation.nearest(data)
    sent = _through_codes(np.concatenate([pilots, data], axis=1))
    output = apply_channel(sent, conditions.channel, snr_db=conditions.snr_db, rng=rng)
    return _through_codes(output.symbols), output.gains


def transmit_and_equalize(
    data: Symbols, conditions: LinkConditions, rng: np.random.Generator, *, estimator: NoiseEstimator | None = None
) -> tuple[Symbols, npt.NDArray[np.float64]]:
    """Send images as one stream, in order, and equalize them by zero forcing, as `edge_rx.noise` does.

    Parameters
    ----------
    data : (batch, n) complex64, of unit mean power in each row
    estimator : noise estimator of the stream that these images continue; None starts a stream

    Returns
    -------
    symbols : (batch, n) complex64, of gain 1
    noise_variance : (batch,) float64, N0 of those symbols as the receiver estimates it
    """
    observation, gains = transmit(data, conditions, rng)
    if conditions.csi is Csi.GENIE:
        return _zero_forcing_with_known_gains(observation, gains)
    estimator = estimator or NoiseEstimator()
    equalized = [
        equalize_and_estimate(image, num_pilots=conditions.num_pilots, estimator=estimator) for image in observation
    ]
    return np.stack([data for data, _ in equalized]), np.array([noise for _, noise in equalized])


def _through_codes(symbols: Symbols) -> Symbols:
    """Quantize and dequantize: each hop carries integers, in a simulation too."""
    return dequantize(quantize(symbols, _CODES_FORMAT), _CODES_FORMAT)


def _zero_forcing_with_known_gains(observation: Symbols, gains: Symbols) -> tuple[Symbols, npt.NDArray[np.float64]]:
    """Matched filter with every symbol's gain known, over the mean power of the image's gains."""
    strength = np.maximum(np.mean(np.abs(gains) ** 2, axis=1, keepdims=True).astype(np.float64), _MIN_STRENGTH)
    excess = float(np.mean(np.abs(observation) ** 2) - np.mean(strength))
    symbols = np.asarray(observation * gains.conj() / strength, dtype=np.complex64)
    return symbols, max(excess, MIN_NOISE_VARIANCE) / strength[:, 0]
