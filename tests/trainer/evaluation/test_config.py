"""Settings of an evaluation become a grid."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("scipy", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from semlink.channel import ChannelModel
from semlink.constellation import Constellation
from semlink.errors import ConfigError
from tests.support.evaluation import SYNTHETIC
from trainer.evaluation import EvaluationConfig
from trainer.links.conditions import Csi


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
        ({"num_seeds": 0}, "at least one seed"),
    ],
)
def test_unknown_name_or_empty_list_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        EvaluationConfig(**changes).grid()
