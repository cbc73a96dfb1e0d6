"""Conditions of a link that tests use often."""

from __future__ import annotations

from semlink.channel import ChannelModel
from trainer.links.conditions import Csi, LinkConditions

NOISELESS = LinkConditions(ChannelModel.IDEAL, 0.0, Csi.NOTHING)
"""y = x; what is left is the quantization of two hops."""


def awgn(snr_db: float) -> LinkConditions:
    """Additive white Gaussian noise at an Es/N0 [dB]."""
    return LinkConditions(ChannelModel.AWGN, snr_db, Csi.NOTHING)
