"""The photographs of two wheels."""

from __future__ import annotations

import importlib.util

import pytest

from semlink.errors import DatasetError, MissingDependencyError
from trainer.datasets import open_dataset, photos


def test_every_photograph_is_there_and_is_sent_five_times() -> None:
    dataset = open_dataset("photos")
    assert len(dataset.knowledge_base) == 21
    assert dataset.knowledge_base.names == dataset.knowledge_base.labels
    assert len(dataset.sent) == 5 * 21
    assert dataset.sent.labels[:6] == ("astronaut",) * 5 + ("brick",)
    for index in range(len(dataset.knowledge_base)):
        assert min(dataset.knowledge_base.image(index).shape[:2]) >= 100


def test_a_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"scikit-image.*\.\[demo\]"):
        open_dataset("photos")


def test_a_photograph_that_left_its_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "PHOTOGRAPHS", {"skimage/data": ("dodo.png",)})
    with pytest.raises(DatasetError, match=r"dodo\.png: not in this release of scikit-image"):
        open_dataset("photos")
