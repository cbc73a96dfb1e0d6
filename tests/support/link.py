"""Both ends of the link in one process, over a software channel."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")


from edge_rx.kb import KnowledgeBase
from edge_rx.match import Match
from edge_rx.pipeline import Receiver
from edge_tx.model import TransmitterModel, load_index_model, load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.models.entry_codebook import EntryCodebook
from engines.models.model_set import ModelSet
from semlink.channel import ChannelModel
from semlink.channel_process import SoftwareChannel
from semlink.image import LoadedImage, RGBImage
from semlink.rates import Rate, parse_rate

CATEGORIES = ("apple", "boat", "cat")
RATE = parse_rate("64")


def entries_of(kb: KnowledgeBase, models: ModelSet, codec: str | None = None) -> EntryCodebook:
    if codec is None:
        return EntryCodebook.of(kb.features(), kb.fingerprint, space=models.encoder_fingerprint)
    space = models.codec(codec).projection_fingerprint
    return EntryCodebook.of(kb.projected(space), kb.fingerprint, space=space)


def model_of(codec: str, rate: Rate, kb: KnowledgeBase, models: ModelSet) -> TransmitterModel:
    if codec == "index":
        return load_index_model(models, entries_of(kb, models))
    if codec == "index-labels":
        return load_index_model(models, entries_of(kb, models, "nested-labels"))
    return load_transmitter_model(models, rate, codec=codec)


def answers(
    model: TransmitterModel,
    rate: Rate,
    receiver: Receiver,
    pictures: dict[str, RGBImage],
    *,
    num_pilots: int = 0,
    snr_db: float = 30.0,
) -> list[Match | None]:
    """Send every picture over a channel, by default a quiet one; what the receiver makes of each."""
    matches: list[Match | None] = []
    rng = np.random.default_rng(0)
    channel = SoftwareChannel(
        ChannelModel.RAYLEIGH if num_pilots else ChannelModel.AWGN,
        snr_db=snr_db,
        rng=rng,
        send=lambda data: matches.append(receiver.run_once(data)),
    )
    transmitter = Transmitter(model, rate, channel.run_once, num_pilots=num_pilots)
    for picture in pictures.values():
        transmitter.run_once(LoadedImage(picture, *picture.shape[:2]))
    return matches
