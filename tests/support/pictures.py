"""Pictures that image codecs can compress, and files of random pixels, whole and damaged."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from semlink.image import RGBImage


def smooth_pictures(num_images: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """32 x 32 pictures of eight kinds: each kind 4 x 4 patches of its colours, made larger, and a little noise."""
    patches = np.random.default_rng(0).integers(20, 236, (8, 4, 4, 3), dtype=np.uint8)
    large = [np.asarray(Image.fromarray(patch).resize((32, 32), Image.Resampling.BICUBIC)) for patch in patches]
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 8, num_images)
    noise = rng.normal(0, 4, (num_images, 32, 32, 3))
    pictures = [np.clip(large[kind] + extra, 0, 255).astype(np.uint8) for kind, extra in zip(kinds, noise, strict=True)]
    return pictures, kinds.astype(str)


def save_pictures(folder: Path, names: list[str]) -> None:
    """Write files of random pixels, 30 x 20, of the formats that their names say; folders are created."""
    rng = np.random.default_rng(0)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)


def truncate(*paths: Path) -> None:
    """Cut the last 200 bytes off files."""
    for path in paths:
        path.write_bytes(path.read_bytes()[:-200])


def noise(height: int, width: int, seed: int = 0) -> RGBImage:
    """Random pixels: (height, width, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def scene(height: int, width: int) -> RGBImage:
    """Something with the spectrum of a photograph: soft shapes, edges, a little grain."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(2 * np.pi * (f * x + g * y) + p) / (1 + f + g) for f, g, p in rng.uniform(0, 8, (6, 3))]
    soft = np.stack([waves[0] + waves[c + 1] + waves[c + 3] for c in range(3)], axis=-1)
    edges = 40.0 * ((x - 0.5) ** 2 + (y - 0.3) ** 2 < 0.04)[..., None]
    return np.clip(128 + 60 * soft + edges + rng.normal(0, 2, soft.shape), 0, 255).astype(np.uint8)


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    """A picture as the bytes of a file."""
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def largest_difference(image: RGBImage, other: RGBImage) -> int:
    """Of any two pixels at one place, in any channel."""
    assert image.shape == other.shape
    return int(np.abs(image.astype(np.int16) - other.astype(np.int16)).max())
