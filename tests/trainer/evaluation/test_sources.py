"""What an evaluation runs on is opened in the order in which it can refuse a cell: the encoder comes last."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from semlink.errors import ConfigError, DatasetError
from trainer.evaluation import EvaluationReport, sources

Evaluated = Callable[..., EvaluationReport]


@pytest.fixture
def refused_before_the_encoder(evaluated: Evaluated, monkeypatch: pytest.MonkeyPatch) -> Evaluated:
    """`evaluated`, where loading an encoder by name fails the test."""
    monkeypatch.setattr(sources, "load_encoder", lambda *_, **__: pytest.fail("the encoder is loaded"))
    return partial(evaluated, encoder="builtin")


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"codecs": ["kbsc-reference"], "channels": ["rician"]}, ConfigError, "published for awgn, rayleigh only"),
        ({"codecs": ["index-polar"], "rates": [64]}, ConfigError, "2,049 entries or more"),
        ({"codecs": ["nested"], "data": "digits"}, DatasetError, "has no training images"),
        ({"codecs": ["nested"], "data": "nowhere"}, ConfigError, "neither a folder, here or in"),
        ({"codecs": ["deepjscc"], "rates": [64]}, ConfigError, "made for 32 x 32 pictures, not for 8 x 8"),
    ],
)
def test_cell_that_cannot_run_is_refused_before_an_encoder_is_fitted(
    refused_before_the_encoder: Evaluated, settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    if settings["codecs"] == ["index-polar"]:
        pytest.importorskip("sionna", reason="needs semlink[references]")
    with pytest.raises(error, match=words):
        refused_before_the_encoder(**settings)


@pytest.mark.parametrize(
    ("codec", "words"), [("vq", "vq needs 24 training images"), ("nested-labels", "needs 13 training images of each")]
)
def test_training_set_that_is_too_small_is_refused_before_an_encoder_is_fitted(
    refused_before_the_encoder: Evaluated, pictures_to_learn: Path, tmp_path: Path, codec: str, words: str
) -> None:
    train = shutil.copytree(pictures_to_learn, tmp_path / "pictures") / "train"
    for category in train.iterdir():
        for path in sorted(category.iterdir())[2:]:
            path.unlink()
    with pytest.raises(DatasetError, match=words):
        refused_before_the_encoder(data=str(train.parent), codecs=["nested", codec])
