"""Other views of a picture: what a second camera, or the same one a moment later, would have seen."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from PIL import __version__ as pillow_version

from semlink.errors import ConfigError
from semlink.image import RGBImage
from trainer.datasets.base import Dataset, ImageList

__all__ = ["dataset_of_views", "make_view", "views_of"]

_AREA = (0.4, 0.8)
_ASPECT = (0.8, 1.25)
_MAX_ROTATION_RAD = math.radians(8)
_ENHANCEMENT = (0.7, 1.3)
# As a share of the shorter side, so that a thumbnail and a photograph blur alike.
_MAX_BLUR = 0.004


def make_view(image: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Crop, rotate, recolour and blur a picture.

    The crop has 40 to 80 % of the picture's area and an aspect ratio within 25 % of its own, is
    turned by up to 8 degrees, and shrinks as far as it must to lie within the picture. Brightness,
    contrast and saturation change by up to 30 %; the blur's radius is up to 0.4 % of the shorter side.

    Parameters
    ----------
    image : (height, width, 3) uint8, RGB
    rng : drawn from eight times

    Returns
    -------
    view : (height', width', 3) uint8, RGB, at the picture's own resolution
    """
    height, width = image.shape[:2]
    area, aspect, angle = rng.uniform(*_AREA), rng.uniform(*_ASPECT), rng.uniform(-1, 1) * _MAX_ROTATION_RAD
    crop_width, crop_height = width * math.sqrt(area * aspect), height * math.sqrt(area / aspect)
    cos, sin = math.cos(angle), math.sin(angle)
    box_width = crop_width * cos + crop_height * abs(sin)
    box_height = crop_width * abs(sin) + crop_height * cos
    shrink = min(1.0, width / box_width, height / box_height)
    centre_x = width / 2 + rng.uniform(-0.5, 0.5) * (width - box_width * shrink)
    centre_y = height / 2 + rng.uniform(-0.5, 0.5) * (height - box_height * shrink)
    size = (max(1, round(crop_width * shrink)), max(1, round(crop_height * shrink)))
    # PIL's affine coefficients map a pixel of the output to a point of the input.
    offset_x = centre_x - (cos * size[0] - sin * size[1]) / 2
    offset_y = centre_y - (sin * size[0] + cos * size[1]) / 2
    picture = Image.fromarray(image).transform(
        size, Image.Transform.AFFINE, (cos, -sin, offset_x, sin, cos, offset_y), Image.Resampling.BICUBIC
    )
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(rng.uniform(*_ENHANCEMENT))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, _MAX_BLUR) * min(size))))


def views_of(images: ImageList, *, num_views: int, seed: int) -> ImageList:
    """List `num_views` views of each image, with its label; the same seed gives the same pixels.

    Raises
    ------
    ConfigError
        If `num_views` is less than 1.
    """
    if num_views < 1:
        raise ConfigError(f"num_views must be at least 1, got {num_views}")

    def load(index: int) -> RGBImage:
        source, view = divmod(index, num_views)
        return make_view(images.image(source), np.random.default_rng([seed, source, view]))

    # The pixels are Pillow's, so another release may give others.
    recipe = f"{images.content_key} views {num_views} seed {seed} pillow {pillow_version}"
    return ImageList(
        tuple(f"{name}-view-{view}" for name in images.names for view in range(num_views)),
        tuple(label for label in images.labels for _ in range(num_views)),
        load,
        hashlib.sha256(recipe.encode()).hexdigest(),
    )


def dataset_of_views(name: str, pictures: ImageList, *, num_views: int, seed: int) -> Dataset:
    """Make a dataset whose knowledge base is `pictures` and whose sent images are views of them."""
    sent = views_of(pictures, num_views=num_views, seed=seed)
    return Dataset(name, sent, pictures, None, "the retrieved image is the picture that the sent view was made from")
