"""Images are prepared as torchvision would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from semlink.errors import ConfigError, ImageError
from semlink.image import Preprocessing, RGBImage, preprocess
from tests.support.pictures import largest_difference, noise


def torchvision_transform(
    image: RGBImage, size: int, resampling: Image.Resampling = Image.Resampling.BICUBIC
) -> RGBImage:
    """``Resize(size, resampling)`` then ``CenterCrop(size)`` of torchvision on a PIL image, as published.

    torchvision.transforms.functional: `_compute_resized_output_size`, `resize`, `center_crop`.
    """
    picture = Image.fromarray(image)
    width, height = picture.size
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = size, int(size * long / short)
    new_width, new_height = (new_short, new_long) if width <= height else (new_long, new_short)
    # One axis at a time, in the order of every Pillow that torchvision's weights were made with:
    # Pillow 13 runs the vertical pass first when the height shrinks more (python-pillow/Pillow#9549).
    picture = picture.resize((new_width, height), resampling)
    picture = picture.resize((new_width, new_height), resampling)
    top, left = round((new_height - size) / 2.0), round((new_width - size) / 2.0)
    return np.asarray(picture.crop((left, top, left + size, top + size)))


class TestPreprocess:
    @settings(max_examples=300, deadline=None)
    @given(st.integers(1, 300), st.integers(1, 300), st.sampled_from((1, 2, 7, 32, 224)), st.integers(0, 99))
    @example(1, 1, 224, 0)
    @example(2000, 1, 224, 0)
    @example(1, 2000, 32, 0)
    @example(3, 1999, 32, 0)
    @example(720, 1280, 224, 0)
    @example(225, 224, 224, 0)
    @example(224, 225, 224, 0)
    def test_is_torchvisions(self, height: int, width: int, size: int, seed: int) -> None:
        image = noise(height, width, seed)
        tensor = preprocess(image, Preprocessing(size_px=size))
        assert tensor.shape == (size, size, 3)
        assert tensor.dtype == np.uint8
        assert largest_difference(tensor, torchvision_transform(image, size)) <= 2

    @pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
    @pytest.mark.parametrize(
        ("height", "width"), [(720, 1280), (1080, 1920), (480, 640), (32, 32), (375, 500), (500, 333), (90, 3000)]
    )
    def test_differs_from_torchvisions_in_few_pixels(self, height: int, width: int, interpolation: str) -> None:
        image = noise(height, width)
        tensor = preprocess(image, Preprocessing(224, interpolation))
        reference = torchvision_transform(image, 224, Image.Resampling[interpolation.upper()])
        assert largest_difference(tensor, reference) <= 1
        assert np.mean(tensor != reference) < 1e-3

    @pytest.mark.parametrize(("height", "width", "checksum"), [(17, 8, 1322249), (300, 200, 1381251), (9, 60, 1494220)])
    def test_same_pixels_with_every_pillow(self, height: int, width: int, checksum: int) -> None:
        """Pillow 12 and 13 differ by up to 19 levels in one call of resize; these sums are of both."""
        tensor = preprocess(noise(height, width), Preprocessing(7)).astype(np.int64)
        weights = np.arange(1, tensor.size + 1).reshape(tensor.shape)
        assert int((tensor * weights).sum()) == checksum

    def test_same_size_is_identity(self) -> None:
        np.testing.assert_array_equal(preprocess(noise(32, 32), Preprocessing(32)), noise(32, 32))

    def test_strided_and_read_only_input(self) -> None:
        image = noise(60, 80)
        view = np.flip(np.flip(image, axis=1).copy(), axis=1)
        view.setflags(write=False)
        np.testing.assert_array_equal(preprocess(view, Preprocessing(32)), preprocess(image, Preprocessing(32)))

    def test_input_is_left_alone(self) -> None:
        image = noise(60, 80)
        preprocess(image, Preprocessing(32))
        np.testing.assert_array_equal(image, noise(60, 80))

    @pytest.mark.parametrize(
        "image",
        [
            np.zeros((4, 4), np.uint8),
            np.zeros((4, 4, 4), np.uint8),
            np.zeros((3, 4, 4), np.uint8),
            np.zeros((4, 4, 3), np.float32),
            np.zeros((0, 4, 3), np.uint8),
            np.zeros((4, 0, 3), np.uint8),
        ],
    )
    def test_what_is_no_image(self, image: np.ndarray) -> None:
        with pytest.raises(ImageError, match=r"image must be \(height, width, 3\) uint8, got"):
            preprocess(image, Preprocessing(32))

    @pytest.mark.parametrize("options", [{"size_px": 0}, {"size_px": -3}, {"size_px": 32, "interpolation": "area"}])
    def test_bad_options(self, options: dict[str, object]) -> None:
        with pytest.raises(ConfigError, match="preprocessing"):
            Preprocessing(**options)
