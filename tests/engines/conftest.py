"""Encoders in every precision, built once for all tests of engines."""

from __future__ import annotations

import pytest

from engines.models.model_set import ModelSet
from tests.support.model_sets import make_model_set
from tests.support.precisions import Precisions, built_precisions


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Precisions:
    """Two layers of convolutions, whose rewriting takes no time; tests leave its engines as they are."""
    folder = tmp_path_factory.mktemp("small")
    models = make_model_set(folder / "models", rates=(64,), size_px=28, convolutional=True)
    return built_precisions(models, folder / "engines")


@pytest.fixture(scope="session")
def builtin(tmp_path_factory: pytest.TempPathFactory) -> Precisions:
    return built_precisions(ModelSet.find("builtin"), tmp_path_factory.mktemp("engines"))


@pytest.fixture(params=["small", pytest.param("builtin", marks=pytest.mark.main_python)])
def precisions(request: pytest.FixtureRequest) -> Precisions:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Precisions)
    return found
