"""Links whose receiver compares signals, without training."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from semlink.channel import ChannelModel
from semlink.rates import parse_rate
from tests.support.conditions import awgn
from tests.support.retrieval import clustered, clustered_retrieval
from trainer.codecs.nested_cells import CellsFit, fit_codebook
from trainer.links.conditions import Csi, LinkConditions
from trainer.links.retrieval import NoiselessRetrieval
from trainer.links.signal_link import SignalLink

KINDS = {"num_classes": 20, "spread": 0.35}


@pytest.mark.parametrize("num_symbols", ["16", "64"])
def test_index_sends_the_entry_itself(noiseless: NoiselessRetrieval, num_symbols: str) -> None:
    link = SignalLink.index(parse_rate(num_symbols), noiseless, seed=0)
    scores = link.retrieve(noiseless, awgn(20.0), np.random.default_rng(0))
    assert scores.recall_at_1 > 0.9  # entries' vectors are rounded
    assert scores.semantic_accuracy == pytest.approx(noiseless.accuracy, abs=0.02)
    assert scores.mean_cosine == pytest.approx(scores.match_cosine, abs=1e-3)  # one entry has all of the probability
    fading = LinkConditions(ChannelModel.RAYLEIGH, 20.0, Csi.PILOTS, 8)
    assert link.retrieve(noiseless, fading, np.random.default_rng(0)).recall_at_1 > 0.8
    assert link.retrieve(noiseless, awgn(20.0), np.random.default_rng(0)) == scores


@pytest.mark.parametrize(
    ("channel", "csi", "num_pilots"),
    [
        (ChannelModel.IDEAL, Csi.NOTHING, 0),
        (ChannelModel.AWGN, Csi.NOTHING, 0),
        (ChannelModel.RAYLEIGH, Csi.PILOTS, 8),
        (ChannelModel.RAYLEIGH_FAST, Csi.GENIE, 0),
    ],
)
def test_nested_works_at_every_rate(channel: ChannelModel, csi: Csi, num_pilots: int) -> None:
    pytest.importorskip("sklearn", reason="needs semlink[train]")
    fit = CellsFit(num_cells=20, analog_only_share=0.1)
    codebook = fit_codebook(clustered(1000, seed=3, **KINDS)[0], clustered(500, seed=4, **KINDS)[0], fit)
    noiseless = clustered_retrieval(**KINDS)
    accuracy = []
    for num_symbols in ("4", "64", "1024"):
        link = SignalLink.nested(codebook, parse_rate(num_symbols), noiseless)
        scores = link.retrieve(noiseless, LinkConditions(channel, 3.0, csi, num_pilots), np.random.default_rng(0))
        accuracy.append(scores.semantic_accuracy)
        assert scores.recall_at_10 >= scores.recall_at_1
    assert accuracy[0] > 0.15  # chance is 0.05
    assert accuracy[1] > noiseless.accuracy - 0.25
    assert accuracy[2] > noiseless.accuracy - 0.15
