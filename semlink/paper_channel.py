"""The channel of arXiv 2504.01053 as published, beside the honest ones of `semlink.channel`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from semlink.channel import AnyChannel, ChannelModel, complex_normal, noise_variance
from semlink.errors import ConfigError

__all__ = ["PAPER_CHANNELS", "paper_channel"]

PAPER_CHANNELS = (ChannelModel.AWGN, ChannelModel.RAYLEIGH)
"""Names for which `paper_channel` has a variant."""


def paper_channel(
    latent: npt.NDArray[np.float32], model: AnyChannel, *, snr_db: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """The channel of arXiv 2504.01053 as published, with its shortcuts; for `kbsc-reference` only.

    No radio can do this: the power is one number for the whole batch, which the receiver has and divides by; the first
    half of the flattened batch is I and the second half Q, so one symbol mixes two images; Rayleigh gains are real and
    positive, so that the phase of every symbol is known without an estimate.

    Parameters
    ----------
    latent : (batch, k) float32
    model : AWGN or RAYLEIGH

    Returns
    -------
    received : (batch, k) float32, on the latent's own scale
    """
    if model not in PAPER_CHANNELS:
        raise ConfigError(f'the paper has no channel "{model.value}"; kbsc-reference runs on awgn and rayleigh')
    if latent.size % 2:
        raise ConfigError(f"the paper's pairing needs an even number of reals in the batch, got {latent.size}")
    mean_square = float(np.mean(np.square(latent, dtype=np.float64)))
    amplitude = np.float32(np.sqrt(2.0 * max(mean_square, float(np.finfo(np.float32).tiny))))
    in_phase, quadrature = (latent / amplitude).reshape(2, -1)
    symbols = (in_phase + 1j * quadrature).astype(np.complex64)
    if model is ChannelModel.RAYLEIGH:
        symbols = symbols * np.abs(complex_normal(symbols.shape, rng))
    received = symbols + complex_normal(symbols.shape, rng) * np.float32(np.sqrt(noise_variance(snr_db)))
    return np.asarray(
        np.concatenate([received.real, received.imag]).reshape(latent.shape) * amplitude, dtype=np.float32
    )
