"""Conditions of a transmission: channel, SNR, channel state information and constellation."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from semlink.channel import AnyChannel
from semlink.constellation import Constellation

__all__ = ["Csi", "LinkConditions"]


class Csi(str, enum.Enum):
    """Channel state information that the receiver's equalizer has."""

    NOTHING = "none"
    """The gain is assumed to be 1, as it is on AWGN."""
    PILOTS = "pilots"
    """The gain is estimated from pilots, which are counted in the total CBR."""
    GENIE = "genie"
    """Every gain exactly: an upper bound that no receiver reaches."""
    PUBLISHED = "published"
    """The shortcuts of arXiv 2504.01053; `kbsc-reference` only."""


@dataclass(frozen=True)
class LinkConditions:
    """One cell of a grid, without its codec and rate.

    Attributes
    ----------
    snr_db : Es/N0 [dB]; under fading, the mean over the gains
    csi : channel state information at the receiver
    num_pilots : known symbols in front of the data
    constellation : points to which the transmitter rounds its symbols; None sends any complex value
    """

    channel: AnyChannel
    snr_db: float
    csi: Csi
    num_pilots: int = 0
    constellation: Constellation | None = None
