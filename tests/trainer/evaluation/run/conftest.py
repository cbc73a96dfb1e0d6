"""Caches and model sets of the tests of `trainer.evaluation.run`."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.models.model_set import ModelSet
from tests.support.model_sets import make_model_set


@pytest.fixture
def no_encoder(tmp_path: Path) -> ModelSet:
    """A model set whose encoder's file is missing, so that loading it is an error: kbsc and nested at 64 symbols."""
    models = make_model_set(tmp_path / "set", rates=(64,), nested=True, categories=("a", "b"))
    (models.folder / "encoder.onnx").unlink()
    return models


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
