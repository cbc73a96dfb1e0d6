"""Training runs of a grid, one after the other or side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from rich.console import Console
from rich.progress import Progress

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError
from semlink.rates import parse_rate
from tests.support.retrieval import clustered_training_data
from trainer.codecs.fitting import FittingContext
from trainer.codecs.table import find_codec
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
        find_codec(codec).fit_key(parse_rate("16"), 3, channel)
        for codec in ("kbsc", "kbsc-reference")
        for channel in ("awgn", "rayleigh")
    ]
    trainings = [training_of(key, context).settings for key in keys]
    assert [(t.codec, t.channel, t.num_pilots) for t in trainings] == [
        ("kbsc", "awgn", 0),
        ("kbsc", "rayleigh", 8),
        ("kbsc-reference", "awgn", 0),
        ("kbsc-reference", "rayleigh", 0),
    ]
    assert {(t.num_symbols, t.seed, t.epochs, t.precision) for t in trainings} == {(16, 3, 1, "fp32")}


def test_codec_is_trained_by_its_config_and_not_by_its_name(context: FittingContext) -> None:
    published = find_codec("kbsc-reference")
    renamed, honest = replace(published, name="mine"), replace(published, fit_config=find_codec("kbsc").fit_config)
    keys = [spec.fit_key(parse_rate("16"), 0, "awgn") for spec in (published, renamed)]
    fitted = fit_kbsc(keys, context)
    other = fit_kbsc([honest.fit_key(parse_rate("16"), 0, "awgn")], replace(context, runs=context.runs / "other"))
    first, second, third = (model.model.encoder_path.read_bytes() for model in (*fitted.values(), *other.values()))
    assert first == second != third


def test_entry_without_a_config_is_refused(context: FittingContext) -> None:
    codec = replace(find_codec("kbsc"), name="mine", fit_config=None)
    with pytest.raises(ConfigError, match=r"codec mine: its fit needs fit_config=KbscConfig\(\.\.\.\), got None"):
        fit_kbsc([codec.fit_key(parse_rate("16"), 0, "awgn")], context)


@pytest.mark.process
def test_runs_side_by_side_train_what_one_alone_does(context: FittingContext, tmp_path: Path) -> None:
    cells = (("kbsc", "awgn"), ("kbsc-reference", "rayleigh"))
    keys = [find_codec(codec).fit_key(parse_rate("16"), 0, channel) for codec, channel in cells]
    together = fit_kbsc(keys, replace(context, num_jobs=2))
    alone = fit_kbsc(keys[:1], replace(context, runs=tmp_path / "alone"))
    assert list(together) == keys
    graphs = [fitted[keys[0]].model.encoder_path.read_bytes() for fitted in (together, alone)]
    assert graphs[0] == graphs[1]
    assert together[keys[0]].key == alone[keys[0]].key
    assert together[keys[1]].trained_on == "clusters, rayleigh"
