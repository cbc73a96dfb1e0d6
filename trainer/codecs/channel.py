"""Differentiable channels between the encoder and the decoder of a codec, on latents.

`honest_channel` is `semlink.channel` and `edge_rx.equalizer` in torch, so that gradients pass. `paper_channel` is
that of arXiv 2504.01053, with its shortcuts. Tests compare both with their numpy counterparts.
"""

from __future__ import annotations

import math

import torch

from semlink.channel import ChannelModel, noise_variance, pilot_symbols
from semlink.errors import ConfigError

__all__ = ["equalize_phase", "honest_channel", "paper_channel", "to_symbols"]


def to_symbols(latent: torch.Tensor) -> torch.Tensor:
    """Pair each image's own reals and scale the image to unit mean power.

    (batch, 2 n) float32 to (batch, n) complex64; `semlink.iq.pair_latent` then `normalize_power`.
    """
    symbols = torch.view_as_complex(latent.reshape(latent.shape[0], -1, 2))
    power = symbols.abs().square().mean(dim=1, keepdim=True)
    return symbols / power.clamp_min(torch.finfo(torch.float32).tiny).sqrt()


def _complex_normal(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.view_as_complex(torch.randn((*shape, 2), generator=generator) * math.sqrt(0.5))


def equalize_phase(received: torch.Tensor, num_pilots: int) -> torch.Tensor:
    """`edge_rx.equalizer.equalize` for (batch, num_pilots + n) complex64 with at least one pilot."""
    pilots = torch.from_numpy(pilot_symbols(num_pilots))
    gain = (received[:, :num_pilots] * pilots.conj()).mean(dim=1, keepdim=True)
    return received[:, num_pilots:] * (gain.conj() / gain.abs().clamp_min(torch.finfo(torch.float32).tiny))


def honest_channel(
    latent: torch.Tensor, model: ChannelModel, *, snr_db: float, num_pilots: int, generator: torch.Generator
) -> torch.Tensor:
    """Send latents over a channel and equalize them as a receiver can.

    Parameters
    ----------
    latent : (batch, 2 n) float32
    model : IDEAL, AWGN or RAYLEIGH; pilots cannot give the gains of fast fading, so it is not for training
    snr_db : Es/N0 [dB]
    num_pilots : pilots from which the receiver estimates the gain; 0 on channels of gain 1

    Returns
    -------
    received : (batch, 2 n) float32, input of the decoder
    """
    symbols = to_symbols(latent)
    batch, n = symbols.shape
    if model is ChannelModel.IDEAL:
        received = symbols
    else:
        sent = torch.cat([torch.from_numpy(pilot_symbols(num_pilots)).expand(batch, -1), symbols], dim=1)
        if model is ChannelModel.RAYLEIGH:
            sent = sent * _complex_normal((batch, 1), generator)
        elif model is not ChannelModel.AWGN:
            raise ConfigError(f'codecs are trained on ideal, awgn or rayleigh, not "{model.value}"')
        received = sent + _complex_normal((batch, num_pilots + n), generator) * math.sqrt(noise_variance(snr_db))
        received = equalize_phase(received, num_pilots) if num_pilots else received
    return torch.view_as_real(received.contiguous()).reshape(batch, 2 * n)


def paper_channel(
    latent: torch.Tensor, model: ChannelModel, *, snr_db: float, generator: torch.Generator
) -> torch.Tensor:
    """`semlink.paper_channel` in torch, for `kbsc-reference` only: (batch, k) to (batch, k)."""
    amplitude = (2.0 * latent.square().mean()).sqrt()
    half = latent.numel() // 2
    symbols = torch.complex(*(latent / amplitude).reshape(2, half))
    if model is ChannelModel.RAYLEIGH:
        symbols = symbols * _complex_normal((half,), generator).abs()
    elif model is not ChannelModel.AWGN:
        raise ConfigError(f'the paper has no channel "{model.value}"; kbsc-reference runs on awgn and rayleigh')
    received = symbols + _complex_normal((half,), generator) * math.sqrt(noise_variance(snr_db))
    return torch.cat([received.real, received.imag]).reshape(latent.shape) * amplitude
