"""The photographs of two wheels, and the views that are made of pictures."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from semlink.errors import ConfigError, DatasetError, MissingDependencyError
from trainer.datasets import open_dataset, photos
from trainer.datasets.views import make_view


def test_every_photograph_is_there_and_is_sent_five_times() -> None:
    dataset = open_dataset("photos")
    assert len(dataset.knowledge_base) == 21
    assert dataset.knowledge_base.names == dataset.knowledge_base.labels
    assert len(dataset.sent) == 5 * 21
    assert dataset.sent.labels[:6] == ("astronaut",) * 5 + ("brick",)
    for index in range(len(dataset.knowledge_base)):
        assert min(dataset.knowledge_base.image(index).shape[:2]) >= 100


def test_a_seed_gives_the_same_views_and_another_gives_others() -> None:
    first, again, other = (open_dataset("photos", seed=seed, num_views=2).sent for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image(7), again.image(7))
    assert first.content_key == again.content_key != other.content_key
    assert first.image(7).shape != other.image(7).shape or (first.image(7) != other.image(7)).any()
    assert first.image(6).shape != first.image(7).shape or (first.image(6) != first.image(7)).any()


@pytest.mark.parametrize(("height", "width"), [(300, 300), (200, 500), (900, 300)])
def test_a_view_shows_forty_to_eighty_percent(height: int, width: int) -> None:
    image = np.full((height, width, 3), 120, np.uint8)
    for seed in range(50):
        view = make_view(image, np.random.default_rng(seed))
        assert 0.35 < view.shape[0] * view.shape[1] / (height * width) < 0.81
        # A corner outside of the picture would be black, which no recolouring of grey 120 reaches.
        assert view.min() > 60


def test_a_view_resembles_its_picture() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 190, (3, 3, 3), dtype=np.uint8)
    image = np.kron(coarse, np.ones((100, 100, 1), np.uint8))
    view = make_view(image, rng)
    assert abs(view[len(view) // 2, view.shape[1] // 2].mean() - image[150, 150].mean()) < 70


def test_a_view_of_one_pixel() -> None:
    assert make_view(np.zeros((1, 1, 3), np.uint8), np.random.default_rng(0)).shape == (1, 1, 3)


def test_no_views_is_an_error() -> None:
    with pytest.raises(ConfigError, match="num_views must be at least 1, got 0"):
        open_dataset("photos", num_views=0)


def test_a_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"scikit-image.*\.\[demo\]"):
        open_dataset("photos")


def test_a_photograph_that_left_its_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "PHOTOGRAPHS", {"skimage/data": ("dodo.png",)})
    with pytest.raises(DatasetError, match=r"dodo\.png: this release of scikit-image"):
        open_dataset("photos")
