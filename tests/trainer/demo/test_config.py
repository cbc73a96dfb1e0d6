"""Which runs a demonstration has."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, ModelSetError
from semlink.rates import parse_rate
from tests.support.model_sets import make_model_set
from trainer.demo.config import DemoConfig

SHORT, LONG = parse_rate("16"), parse_rate("64")


@pytest.fixture(scope="module")
def builtin() -> ModelSet:
    """`nested` at every rate, `kbsc` at 64 and 128 symbols, and others."""
    return ModelSet.find("builtin")


def cells(config: DemoConfig, models: ModelSet) -> list[tuple[str, int, float]]:
    return [(run.codec, run.rate.num_symbols, run.snr_db) for run in config.runs(models)]


def test_networks_for_single_rates_are_shown_beside_the_code_of_the_kb(builtin: ModelSet) -> None:
    config = DemoConfig(rates=(LONG,), snr_db=(0.0, 10.0))
    assert cells(config, builtin) == [
        ("adapted", 64, 0.0),
        ("adapted", 64, 10.0),
        ("kbsc", 64, 0.0),
        ("kbsc", 64, 10.0),
    ]
    assert config.left_out(builtin) == {}


def test_a_codec_that_nobody_named_is_left_out_at_rates_that_it_lacks(builtin: ModelSet) -> None:
    config = DemoConfig(rates=(SHORT, LONG), snr_db=(0.0,))
    assert cells(config, builtin) == [("adapted", 16, 0.0), ("adapted", 64, 0.0), ("kbsc", 64, 0.0)]
    assert config.left_out(builtin) == {"kbsc": (SHORT,)}


def test_a_named_codec_must_have_every_rate(builtin: ModelSet) -> None:
    with pytest.raises(ModelSetError, match="kbsc has no rate of 16 symbols"):
        DemoConfig(rates=(SHORT,), codecs=("nested", "kbsc")).runs(builtin)
    with pytest.raises(ConfigError, match="has no codec unknown"):
        DemoConfig(rates=(SHORT,), codecs=("unknown",)).runs(builtin)


def test_the_code_of_the_kb_has_every_rate_and_other_networks_their_own(tmp_path: Path) -> None:
    models = make_model_set(tmp_path, rates=(16,))
    config = DemoConfig(rates=(SHORT, LONG), snr_db=(0.0,))
    assert cells(config, models) == [("adapted", 16, 0.0), ("adapted", 64, 0.0), ("synthetic-codec", 16, 0.0)]
    assert [run.needs_codebook for run in config.runs(models)] == [True, True, False]
    with pytest.raises(ModelSetError, match="has no rate of 64 symbols"):
        DemoConfig(rates=(LONG,), codecs=("synthetic-codec",)).runs(models)


def test_every_run_has_the_settings(builtin: ModelSet) -> None:
    config = DemoConfig(rates=(LONG,), channel="rayleigh", num_pilots=8, seed=3, codecs=("nested",), snr_db=(5.0,))
    (run,) = config.runs(builtin)
    assert (run.channel, run.num_pilots, run.seed, run.model_set) == ("rayleigh", 8, 3, "builtin")
