"""Grids: conditions and channels of training of their cells."""

from __future__ import annotations

import pytest

pytest.importorskip("scipy", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from semlink.channel import AnyChannel, ChannelModel, CustomChannel, apply_channel
from tests.support.evaluation import make_grid
from trainer.codecs.table import find_codec
from trainer.links.conditions import Csi


def own_channel(**facts: bool) -> CustomChannel:
    return CustomChannel(
        "mine", lambda symbols, snr_db, rng: apply_channel(symbols, ChannelModel.IDEAL, snr_db=snr_db, rng=rng), **facts
    )


@pytest.mark.parametrize(
    ("channel", "csi", "num_pilots", "training_channel"),
    [
        (ChannelModel.IDEAL, Csi.NOTHING, 0, "awgn"),
        (ChannelModel.AWGN, Csi.NOTHING, 0, "awgn"),
        (ChannelModel.RAYLEIGH, Csi.PILOTS, 8, "rayleigh"),
        (ChannelModel.RICIAN, Csi.PILOTS, 8, "rayleigh"),
        (ChannelModel.RAYLEIGH_FAST, Csi.GENIE, 0, "awgn"),
        (ChannelModel.BURST, Csi.NOTHING, 0, "awgn"),
        (own_channel(), Csi.NOTHING, 0, "awgn"),
        (own_channel(is_block_fading=True), Csi.PILOTS, 8, "rayleigh"),
        (own_channel(is_block_fading=True, rotates_phase=True), Csi.PILOTS, 8, "rayleigh"),
        (own_channel(rotates_phase=True), Csi.GENIE, 0, "awgn"),
    ],
)
def test_channel_gives_csi_and_channel_of_training(
    channel: AnyChannel, csi: Csi, num_pilots: int, training_channel: str
) -> None:
    grid = make_grid("nested", channels=(channel,))
    conditions = grid.conditions(find_codec("nested"), channel, 3.0)
    assert (conditions.csi, conditions.num_pilots, conditions.snr_db) == (csi, num_pilots, 3.0)
    assert grid.training_channels == (training_channel,)


def test_csi_of_block_fading_can_be_chosen() -> None:
    for csi in (Csi.GENIE, Csi.NOTHING):
        grid = make_grid("nested", channels=(ChannelModel.RAYLEIGH,), csi=csi)
        conditions = grid.conditions(find_codec("nested"), ChannelModel.RAYLEIGH, 0.0)
        assert (conditions.csi, conditions.num_pilots) == (csi, 0)


def test_reference_runs_on_the_published_channel() -> None:
    conditions = make_grid().conditions(find_codec("kbsc-reference"), ChannelModel.RAYLEIGH, 0.0)
    assert (conditions.csi, conditions.num_pilots) == (Csi.PUBLISHED, 0)


def test_channel_of_training_can_be_chosen() -> None:
    channels = (ChannelModel.AWGN, ChannelModel.RAYLEIGH)
    assert make_grid(channels=channels).training_channels == ("awgn", "rayleigh")
    assert make_grid(channels=channels, training_channel="awgn").training_channels == ("awgn",)
