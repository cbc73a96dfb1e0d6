"""Views of images."""

from __future__ import annotations

import numpy as np
import pytest

from semlink.errors import ConfigError
from trainer.datasets import open_dataset
from trainer.datasets.views import make_view


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
