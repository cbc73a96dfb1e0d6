"""Training runs of a grid, one after the other or side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from rich.console import Console
from rich.progress import Progress

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.rates import parse_rate
from tests.support.retrieval import clustered_training_data
from trainer.codecs.fitting import FittingContext
from trainer.codecs.spec import FitKey
from trainer.codecs.training_runs import fit_kbsc, training_of
from trainer.datasets.base import ImageList


@pytest.fixture
def context(model_set: ModelSet, tmp_path: Path) -> FittingContext:
    return FittingContext(
        data=clustered_training_data(1500),
        images=ImageList.of_arrays([], [], []),
        encoder=ImageEncoder(model_set),
        runs=tmp_path,
        progress=Progress(console=Console(quiet=True), disable=True),
        epochs=1,
        precision="fp32",
    )


def test_run_has_pilots_if_its_receiver_needs_them(context: FittingContext) -> None:
    keys = [
        FitKey(codec, parse_rate("16"), 3, channel)
        for codec in ("kbsc", "kbsc-reference")
        for channel in ("awgn", "rayleigh")
    ]
    trainings = [training_of(key, context) for key in keys]
    assert [(t.codec, t.channel, t.num_pilots) for t in trainings] == [
        ("kbsc", "awgn", 0),
        ("kbsc", "rayleigh", 8),
        ("kbsc-reference", "awgn", 0),
        ("kbsc-reference", "rayleigh", 0),
    ]
    assert {(t.num_symbols, t.seed, t.epochs, t.precision) for t in trainings} == {(16, 3, 1, "fp32")}


@pytest.mark.process
def test_runs_side_by_side_train_what_one_alone_does(context: FittingContext, tmp_path: Path) -> None:
    from dataclasses import replace

    keys = [FitKey("kbsc", parse_rate("16"), 0, "awgn"), FitKey("kbsc-reference", parse_rate("16"), 0, "rayleigh")]
    together = fit_kbsc(keys, replace(context, num_jobs=2))
    alone = fit_kbsc(keys[:1], replace(context, runs=tmp_path / "alone"))
    assert list(together) == keys
    graphs = [fitted[keys[0]].model.encoder_path.read_bytes() for fitted in (together, alone)]
    assert graphs[0] == graphs[1]
    assert together[keys[0]].key == alone[keys[0]].key
    assert together[keys[1]].trained_on == "clusters, rayleigh"
