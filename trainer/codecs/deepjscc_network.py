"""A DeepJSCC image transmitter: pictures to symbols and back, trained end to end through noise.

    image 32 x 32 x 3 -> two strided convolutions -> residual blocks -> 8 x 8 x (n/32) reals = n symbols
    received symbols, estimated SNR -> residual blocks conditioned on the SNR -> two pixel shuffles -> image

Source: Bourtsoulatze, Kurka, Gündüz, "Deep joint source-channel coding for wireless image transmission",
IEEE Trans. Cogn. Commun. Netw. 5(3), 2019, for the whole; Xu et al., "Wireless image transmission using
deep source channel coding with attention modules", IEEE Trans. CSVT 32(4), 2022, for one network that serves
all SNRs because it is conditioned on the SNR. In that paper both ends know the SNR; here only the receiver does,
because there is no reverse link. Widths are our own: one core trains the network in ten minutes.
"""

from __future__ import annotations

import torch
from torch import nn

from semlink.errors import ConfigError
from semlink.rates import Rate
from trainer.codecs.limits import DEEPJSCC_MIN_SYMBOLS, DEEPJSCC_SIDE_PX

__all__ = ["SNR_RANGE_DB", "DeepJsccNetwork"]

SNR_RANGE_DB = (-10.0, 15.0)
"""SNRs of training; an estimate outside is clipped to the nearer end [dB]."""

_SHRINK = 4
_NUM_POSITIONS = 2 * DEEPJSCC_MIN_SYMBOLS
"""Positions of the innermost feature maps, (DEEPJSCC_SIDE_PX / _SHRINK)^2, with at least one real each."""
_WIDTH, _STEM_WIDTH, _NUM_BLOCKS = 64, 32, 2


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside an identity path; with `conditions`, scaled and shifted by them."""

    def __init__(self, conditions: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.second = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.activation = nn.PReLU(_WIDTH)
        self.modulation = nn.Linear(conditions, 2 * _WIDTH) if conditions else None

    def forward(self, maps: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """(batch, width, 8, 8) and (batch, conditions) to (batch, width, 8, 8)."""
        hidden = self.first(maps)
        if self.modulation is not None:
            scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        return maps + self.second(self.activation(hidden))


class DeepJsccNetwork(nn.Module):
    """Both ends of the link at one rate.

    Raises
    ------
    ConfigError
        If the rate has less than one real for each of the 64 positions.
    """

    def __init__(self, rate: Rate) -> None:
        super().__init__()
        if rate.latent_dim % _NUM_POSITIONS:
            raise ConfigError(f"deepjscc needs at least {_NUM_POSITIONS // 2} symbols, got {rate.num_symbols}")
        num_maps, conditions = rate.latent_dim // _NUM_POSITIONS, 16
        self.encoder = nn.Sequential(
            nn.Conv2d(3, _STEM_WIDTH, 5, stride=2, padding=2),
            nn.PReLU(_STEM_WIDTH),
            nn.Conv2d(_STEM_WIDTH, _WIDTH, 5, stride=2, padding=2),
            *(_Residual() for _ in range(_NUM_BLOCKS)),
            nn.PReLU(_WIDTH),
            nn.Conv2d(_WIDTH, num_maps, 3, padding=1),
            nn.Flatten(),
        )
        self.condition = nn.Sequential(nn.Linear(1, conditions), nn.ReLU(), nn.Linear(conditions, conditions))
        self.entry = nn.Conv2d(num_maps, _WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(_Residual(conditions) for _ in range(_NUM_BLOCKS))
        self.exit = nn.Sequential(
            nn.PReLU(_WIDTH),
            nn.Conv2d(_WIDTH, 4 * _STEM_WIDTH, 3, padding=1),
            nn.PixelShuffle(2),
            nn.PReLU(_STEM_WIDTH),
            nn.Conv2d(_STEM_WIDTH, 4 * 3, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(batch, 3, 32, 32) float32 in 0..1 to a latent, (batch, 2 n) float32 of any power."""
        latent: torch.Tensor = self.encoder(images - 0.5)
        return latent.float()

    def decode(self, received: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
        """Received latent and its estimated SNR to pictures.

        Parameters
        ----------
        received : (batch, 2 n) float32, equalized: the sent symbols in it have |x|^2 = 1 on average
        snr_db : (batch,) float32, Es/N0 [dB]

        Returns
        -------
        images : (batch, 3, 32, 32) float32, about 0..1
        """
        low, high = SNR_RANGE_DB
        snr_db = snr_db.clamp(low, high)
        # Unit power at every SNR: training is worse with inputs that are ten times as large at one SNR.
        scaled = received / (1 + 10 ** (-snr_db / 10)).sqrt()[:, None]
        condition = self.condition((2 * (snr_db - low) / (high - low) - 1)[:, None])
        side = DEEPJSCC_SIDE_PX // _SHRINK
        maps = self.entry(scaled.reshape(len(received), -1, side, side))
        for block in self.blocks:
            maps = block(maps, condition)
        images: torch.Tensor = self.exit(maps)
        return images.float() + 0.5
