"""Views of an image: random crops, rotations, colours and blur, as from a second camera."""

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
# Fraction of the shorter side, so that small and large images are blurred alike.
_MAX_BLUR = 0.004


def make_view(image: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Crop, rotate, recolour and blur an image.

    The crop has 40 to 80 % of the image's area and an aspect ratio within 25 % of the image's, is rotated by up to 8
    degrees, and is shrunk if it would exceed the image. Brightness, contrast and saturation change by up to 30 %; the
    radius of the blur is up to 0.4 % of the shorter side.

    Parameters
    ----------
    image : (height, width, 3) uint8, RGB
    rng : random generator; eight numbers are drawn

    Returns
    -------
    view : (height', width', 3) uint8, RGB, in the image's resolution
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
    # Pillow's affine coefficients map a pixel of the output to a point of the input.
    offset_x = centre_x - (cos * size[0] - sin * size[1]) / 2
    offset_y = centre_y - (sin * size[0] + cos * size[1]) / 2
    picture = Image.fromarray(image).transform(
        size, Image.Transform.AFFINE, (cos, -sin, offset_x, sin, cos, offset_y), Image.Resampling.BICUBIC
    )
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(rng.uniform(*_ENHANCEMENT))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, _MAX_BLUR) * min(size))))


def views_of(images: ImageList, *, num_views: int, seed: int) -> ImageList:
    """Make a list of `num_views` views of each image, with its label; the same seed gives the same pixels.

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

    # The pixels may differ between releases of Pillow.
    config = f"{images.content_key} views {num_views} seed {seed} pillow {pillow_version}"
    return ImageList(
        tuple(f"{name}-view-{view}" for name in images.names for view in range(num_views)),
        tuple(label for label in images.labels for _ in range(num_views)),
        load,
        hashlib.sha256(config.encode()).hexdigest(),
    )


def dataset_of_views(name: str, images: ImageList, *, num_views: int, seed: int) -> Dataset:
    """Make a dataset whose knowledge base is `images` and whose sent images are views of them."""
    sent = views_of(images, num_views=num_views, seed=seed)
    return Dataset(name, sent, images, None, "the retrieved image is the one whose view was sent")
