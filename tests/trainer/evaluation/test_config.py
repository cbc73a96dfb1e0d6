"""Settings of an evaluation become a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from semlink.channel import ChannelModel, ChannelOutput, CustomChannel
from semlink.constellation import Constellation
from semlink.errors import ConfigError
from semlink.iq import Symbols
from tests.support.evaluation import SYNTHETIC
from trainer.codecs.spec import CodecSpec
from trainer.evaluation import EvaluationConfig
from trainer.links.conditions import Csi


def unchanged(symbols: Symbols, snr_db: float, rng: np.random.Generator) -> ChannelOutput:
    return ChannelOutput(symbols, np.ones((len(symbols), 1), np.complex64), 0.0)


def test_channel_of_your_own_is_taken_as_it_is() -> None:
    mine = CustomChannel("mine", unchanged)
    config = EvaluationConfig(channels=[mine, "awgn", ChannelModel.RICIAN])
    assert config.grid().channels == (mine, ChannelModel.AWGN, ChannelModel.RICIAN)
    assert config.settings()["channels"] == ["mine", "awgn", "rician"]


def test_names_are_looked_up_and_repetitions_dropped() -> None:
    grid = EvaluationConfig(
        codecs=["nested", SYNTHETIC, "nested"],
        rates=["1/48", 64, "16"],
        channels=["awgn", "rayleigh", "awgn"],
        snr_db=[0, 10, 0],
        num_seeds=2,
        csi="none",
        constellation="qpsk",
    ).grid()
    assert [codec.name for codec in grid.codecs] == ["nested", "synthetic-codec"]
    assert [rate.num_symbols for rate in grid.rates] == [64, 16]
    assert grid.channels == (ChannelModel.AWGN, ChannelModel.RAYLEIGH)
    assert (grid.snr_db, grid.seeds) == ((0, 10), (0, 1))
    assert (grid.csi, grid.constellation) == (Csi.NOTHING, Constellation.QPSK)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"codecs": ["morse"]}, 'codec "morse" is unknown; choose from: nested,'),
        ({"channels": ["ether"]}, 'channel "ether" is unknown; choose from: ideal, awgn,'),
        ({"rates": [17]}, 'rate "17" is unknown'),
        ({"rates": []}, "at least one rate"),
        ({"codecs": []}, "at least one codec"),
        ({"snr_db": []}, "at least one SNR"),
        ({"channels": []}, "at least one channel"),
        ({"channels": ["awgn", CustomChannel("awgn", unchanged)]}, '2 channels .* have the name "awgn"'),
        ({"codecs": ["nested", CodecSpec(name="nested", summary="", links=print)]}, '2 codecs .* name "nested"'),
        ({"num_seeds": 0}, "num_seeds must be at least 1, got 0"),
        ({"num_pilots": 0, "channels": ["rayleigh"]}, "num_pilots must be at least 1, got 0"),
        ({"num_jobs": 0}, "num_jobs must be at least 1, got 0"),
        ({"epochs": -1}, "epochs must be at least 1, got -1"),
        ({"limit": 0}, "limit must be at least 1, got 0"),
        ({"csi": "guess"}, "csi must be one of none, pilots, genie, got 'guess'"),
        ({"constellation": "8psk"}, "constellation must be one of None, qpsk, 16qam, 64qam, got '8psk'"),
        ({"weights": "learned"}, "weights must be one of auto, trained, model-set, got 'learned'"),
        ({"precision": "fp16"}, "precision must be one of bf16, fp32, got 'fp16'"),
        ({"training_channel": "rician"}, "training_channel must be one of None, awgn, rayleigh, got 'rician'"),
    ],
)
def test_value_that_cannot_be_evaluated_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        EvaluationConfig(**changes).grid()
