"""The grid of an evaluation: codecs, rates, channels, SNRs and seeds."""

from __future__ import annotations

from dataclasses import dataclass

from semlink.channel import AnyChannel, ChannelModel, default_num_pilots
from semlink.constellation import Constellation
from semlink.rates import Rate
from trainer.codecs.config import TrainingChannel
from trainer.codecs.spec import CodecSpec
from trainer.links.conditions import Csi, LinkConditions

__all__ = ["Grid"]


@dataclass(frozen=True)
class Grid:
    """The cells to evaluate: the product of codecs, rates, channels, SNRs and seeds.

    Attributes
    ----------
    snr_db : Es/N0 [dB]
    num_pilots : pilots in front of an image under block fading, if `csi` is PILOTS
    csi : channel state information at the receiver under block fading
    training_channel : channel on which `kbsc` and `kbsc-reference` are trained; None for the one that suits each
        channel of the grid
    constellation : points to which the transmitter rounds its symbols; None sends any complex value
    """

    codecs: tuple[CodecSpec, ...]
    rates: tuple[Rate, ...]
    channels: tuple[AnyChannel, ...]
    snr_db: tuple[float, ...]
    seeds: tuple[int, ...]
    num_pilots: int = default_num_pilots(ChannelModel.RAYLEIGH)
    csi: Csi = Csi.PILOTS
    training_channel: TrainingChannel | None = None
    constellation: Constellation | None = None

    def training_channel_of(self, channel: AnyChannel) -> TrainingChannel:
        """Channel of training of a codec that is measured on this one.

        Channels with an unknown gain for a whole transmission are all served by Rayleigh. Fast fading is not: pilots
        cannot give gains that change with every symbol, so no codec is trained on it.
        """
        return self.training_channel or ("rayleigh" if channel.is_block_fading else "awgn")

    @property
    def training_channels(self) -> tuple[TrainingChannel, ...]:
        """Channels of training that the grid's channels need, each once."""
        return tuple(dict.fromkeys(self.training_channel_of(channel) for channel in self.channels))

    def conditions(self, codec: CodecSpec, channel: AnyChannel, snr_db: float) -> LinkConditions:
        """Conditions in which a codec is measured on a channel."""
        if codec.uses_paper_channel:
            return LinkConditions(channel, snr_db, Csi.PUBLISHED)
        csi, num_pilots = Csi.NOTHING, 0
        if channel.is_fast_fading:
            csi = Csi.GENIE
        elif channel.is_block_fading:
            csi = self.csi
            num_pilots = self.num_pilots if self.csi is Csi.PILOTS else 0
        return LinkConditions(channel, snr_db, csi, num_pilots, self.constellation)
