"""Specs: keys of their models, and references that are imported when they are used."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from semlink.errors import ConfigError, MissingDependencyError
from semlink.rates import parse_rate
from trainer.codecs.spec import CodecSpec, FitKey

RATES = (parse_rate("16"), parse_rate("64"))


def make_spec(**changes: Any) -> CodecSpec:
    return CodecSpec(**{"name": "mine", "summary": "a codec", "links": "os.path:join", **changes})


@pytest.mark.parametrize(
    ("fitted_for", "num_models"), [((), 1), (("seed",), 3), (("rate",), 2), (("rate", "seed", "channel"), 12)]
)
def test_every_model_of_a_grid_has_one_key(fitted_for: tuple[str, ...], num_models: int) -> None:
    spec = make_spec(fitted_for=fitted_for)
    keys = spec.fit_keys(RATES, (0, 1, 2), ("awgn", "rayleigh"))
    assert len(keys) == len(set(keys)) == num_models
    for rate in RATES:
        for seed in (0, 1, 2):
            assert spec.fit_key(rate, seed, "rayleigh") in keys


def test_key_without_a_rate_has_no_number_of_symbols() -> None:
    assert FitKey("mine", RATES[0]).num_symbols == 16
    with pytest.raises(ConfigError, match="fitted_for"):
        _ = FitKey("mine").num_symbols


def test_references_are_functions_or_their_names() -> None:
    import os.path

    assert make_spec().load_links() is os.path.join
    assert make_spec(links=len).load_links() is len
    with pytest.raises(MissingDependencyError, match="needs the Python module nowhere"):
        make_spec(links="nowhere:links").load_links()
    with pytest.raises(ConfigError, match=r"os\.path:nothing does not exist"):
        make_spec(links="os.path:nothing").load_links()
    with pytest.raises(ConfigError, match="nothing to fit"):
        make_spec().load_fit()


def test_missing_module_is_named_before_the_reference_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"mine needs sionna-no-rt.*references"):
        make_spec(modules=("sionna",), links="nowhere:links").load_links()
    with pytest.raises(MissingDependencyError, match=r"mine needs scikit-learn.*train"):
        make_spec(fit_modules=("sklearn",), fit="nowhere:fit").load_fit()


def test_model_is_the_codecs_own_or_anothers() -> None:
    with pytest.raises(ConfigError, match="uses the model of nested"):
        make_spec(fit=len, model_of="nested")


def test_models_for_each_seed_need_a_link_for_each_seed() -> None:
    with pytest.raises(ConfigError, match=r'is_seeded=False.*must not name "seed"'):
        make_spec(fit=print, is_seeded=False)
    assert make_spec(fit=print, is_seeded=False, fitted_for=("rate",)).fitted_for == ("rate",)
    assert not make_spec(is_seeded=False).is_seeded
