"""Pictures to tensors: one path for the transmitter, the knowledge base and the trainer.

Features depend on every step of the preparation, so no other module of the project opens, orients,
resizes or crops an image.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from semlink.errors import ConfigError, ImageError

__all__ = [
    "IMAGE_SUFFIXES",
    "INTERPOLATIONS",
    "MAX_PIXELS",
    "MAX_SIDE_PX",
    "LoadedImage",
    "Preprocessing",
    "RGBImage",
    "image_files",
    "load_image",
    "preprocess",
    "read_image",
]

RGBImage: TypeAlias = npt.NDArray[np.uint8]

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

MAX_PIXELS = 178_000_000
"""A picture of more pixels is refused before it is decoded (a decompression bomb, or a mistake).

Just below twice `PIL.Image.MAX_IMAGE_PIXELS`, above which Pillow itself refuses.
"""

INTERPOLATIONS = {"bicubic": (Image.Resampling.BICUBIC, 2), "bilinear": (Image.Resampling.BILINEAR, 1)}
"""By name: Pillow's filter, and half the width of its kernel in pixels of the coarser grid."""

MAX_SIDE_PX = 65_535
"""A longer side does not fit a frame's header; see docs/wire-format.md."""

_TURNING_ORIENTATIONS = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""

_PIXELS_WORTH_A_THREAD = 200_000
"""From here on a second thread saves more than the tenth of a millisecond that its start takes."""

_DRAFT_OVERSAMPLING = 4
"""A JPEG may be decoded at a reduced size while this many pixels remain for each one kept."""


class Preprocessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Preprocessing of an encoder: resize the shorter side, then crop the centre.

    Normalisation is not here: it is the encoder graph's first operation, so that what crosses
    from the picture to the graph is uint8.

    Attributes
    ----------
    size_px : side of the square that the encoder takes
    interpolation : "bicubic" or "bilinear", antialiased
    """

    size_px: int
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        if self.size_px < 1:
            raise ConfigError(f"preprocessing.size_px must be at least 1, got {self.size_px}")
        if self.interpolation not in INTERPOLATIONS:
            known = " or ".join(f'"{name}"' for name in INTERPOLATIONS)
            raise ConfigError(f'preprocessing.interpolation must be {known}, got "{self.interpolation}"')


def image_files(folder: Path) -> list[Path]:
    """List the pictures under a folder by their names' endings, in the order of their paths.

    Hidden files and folders are left out.

    Raises
    ------
    ConfigError
        If the folder does not exist or holds no file that is named like a picture.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    if not paths:
        raise ConfigError(f"{folder}: no images in it; pictures end in {', '.join(sorted(IMAGE_SUFFIXES))}")
    return paths


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """A picture in memory, and the size of the picture in its file.

    Attributes
    ----------
    pixels : (height, width, 3) uint8, RGB, upright, C-contiguous; a large JPEG's may be fewer than its file's
    source_height_px, source_width_px : of the upright picture in the file, which is what CBR counts
    """

    pixels: RGBImage
    source_height_px: int
    source_width_px: int


def load_image(source: str | os.PathLike[str] | bytes, *, min_side_px: int | None = None) -> RGBImage:
    """Read a picture as upright RGB: `read_image` without the size of its source."""
    return read_image(source, min_side_px=min_side_px).pixels


def read_image(source: str | os.PathLike[str] | bytes, *, min_side_px: int | None = None) -> LoadedImage:
    """Read a picture as upright RGB.

    EXIF orientation is applied, palettes and greyscale become RGB, 16-bit greyscale is scaled to
    8 bits, and transparency is laid over white. Of an animation the first frame is taken.

    Parameters
    ----------
    source : path, or the encoded file's bytes
    min_side_px : the side that the caller will resize to; lets a large JPEG be decoded at a
        fraction of its size (still at least four times `min_side_px`), after which a resize gives
        nearly the same pixels

    Returns
    -------
    image : pixels and source size

    Raises
    ------
    ImageError
        If the file is missing, no picture, truncated, or larger than `MAX_PIXELS` or `MAX_SIDE_PX`.
    """
    name = f"{len(source)} bytes" if isinstance(source, bytes) else os.fspath(source)
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, which is not the picture, and of sizes, which are judged here.
            warnings.simplefilter("ignore")
            return _read(io.BytesIO(source) if isinstance(source, bytes) else Path(source), name, min_side_px)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not a picture in a format that Pillow reads") from None
    except OSError as error:
        raise ImageError(f"{name}: cannot be read: {error.strerror or error}") from None
    # Pillow's decoders report damage through any type there is; each means that this file is unusable.
    except Exception as error:  # noqa: BLE001
        raise ImageError(f"{name}: cannot be read: {error or type(error).__name__}") from None


def _read(source: io.BytesIO | Path, name: str, min_side_px: int | None) -> LoadedImage:
    with Image.open(source) as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise ImageError(f"{name}: {width} x {height} is more than {MAX_PIXELS} pixels; scale it down first")
        if max(width, height) > MAX_SIDE_PX:
            raise ImageError(f"{name}: {width} x {height} has a side of more than {MAX_SIDE_PX} pixels; cut it first")
        # A phone's MPO is a JPEG with more pictures behind the first.
        if min_side_px is not None and picture.format in ("JPEG", "MPO"):
            side = min_side_px * _DRAFT_OVERSAMPLING
            picture.draft("RGB", (side, side))
        is_turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in _TURNING_ORIENTATIONS
        pixels = np.ascontiguousarray(_to_rgb(ImageOps.exif_transpose(picture)))
        return LoadedImage(pixels, *((width, height) if is_turned else (height, width)))


def _to_rgb(picture: Image.Image) -> RGBImage:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        grey = np.nan_to_num(np.asarray(picture, dtype=np.float64))
        # 16-bit formats span 0..65535; a float or 32-bit file within 0..255 is taken as it is.
        grey = grey / 257.0 if picture.mode.startswith("I;16") or grey.max(initial=0.0) > 255 else grey
        return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    if picture.mode in ("LA", "PA", "La", "RGBa", "RGBA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.asarray(picture.convert("RGB"))


def preprocess(image: RGBImage, preprocessing: Preprocessing) -> RGBImage:
    """Resize the shorter side to `size_px` (antialiased) and crop the centre square.

    Gives the pixels of torchvision's ``Resize(size, interpolation)`` then ``CenterCrop(size)`` on a PIL
    image, at two thirds of the cost: what the crop throws away is never resampled. Pillow keeps the
    crop's edges in float32, so that one value in ten thousand differs by a grey level, rarely by
    two; tests hold the two to that.

    Parameters
    ----------
    image : (height, width, 3) uint8, RGB
    preprocessing : of the encoder, from its manifest

    Returns
    -------
    tensor : (size_px, size_px, 3) uint8, RGB

    Raises
    ------
    ImageError
        If `image` is not (height, width, 3) uint8 with at least one pixel.

    Examples
    --------
    >>> preprocess(np.zeros((48, 64, 3), np.uint8), Preprocessing(size_px=32)).shape
    (32, 32, 3)
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ImageError(f"image must be (height, width, 3) uint8, got {image.shape} {image.dtype}")
    size = preprocessing.size_px
    resampling, support_px = INTERPOLATIONS[preprocessing.interpolation]
    height, width = image.shape[:2]
    # torchvision: the longer side is truncated to an integer, the crop's corner is rounded.
    out_width = size if width <= height else int(size * width / height)
    out_height = size if height <= width else int(size * height / width)
    columns, left, right = _window(width, out_width, size, support_px)
    rows, top, bottom = _window(height, out_height, size, support_px)
    window = image[rows, columns]
    # The horizontal pass rounds to 8 bits before the vertical one, and Pillow 13 swaps them when it
    # estimates that to be faster; asked for one by one, they give the same pixels with every Pillow.
    if window.shape[0] * window.shape[1] < _PIXELS_WORTH_A_THREAD:
        narrow = _resize_width(window, size, left, right, resampling)
    else:
        # Rows are resampled independently, and Pillow releases the interpreter lock meanwhile.
        half = len(window) // 2
        with ThreadPoolExecutor(1) as other_thread:
            lower = other_thread.submit(_resize_width, window[half:], size, left, right, resampling)
            narrow = np.concatenate([_resize_width(window[:half], size, left, right, resampling), lower.result()])
    resized = Image.fromarray(narrow).resize((size, size), resampling, box=(0, top, size, bottom))
    return np.asarray(resized)


def _resize_width(rows: RGBImage, width_px: int, left: float, right: float, resampling: Image.Resampling) -> RGBImage:
    """Resample each row between two edges: (num_rows, any, 3) to (num_rows, width_px, 3)."""
    picture = Image.fromarray(rows)
    box = (left, 0, right, picture.height)
    return np.asarray(picture.resize((width_px, picture.height), resampling, box=box))


def _window(source_px: int, resized_px: int, crop_px: int, support_px: int) -> tuple[slice, float, float]:
    """Along one axis: the source pixels that a centre crop is made of, and its edges among them."""
    scale = source_px / resized_px
    corner = round((resized_px - crop_px) / 2.0)
    start, end = corner * scale, (corner + crop_px) * scale
    reach = math.ceil(support_px * max(scale, 1.0)) + 1
    first, last = max(0, math.floor(start) - reach), min(source_px, math.ceil(end) + reach)
    return slice(first, last), start - first, min(end - first, last - first)
