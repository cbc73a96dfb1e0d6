"""Pictures that image codecs can compress, and files of random pixels, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


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
