"""Lists of picture files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from semlink.image import load_image
from trainer.datasets.base import ImageList

__all__ = ["list_of_files"]


def list_of_files(paths: Sequence[Path], names: Sequence[str], labels: Sequence[str]) -> ImageList:
    """List pictures that are read from their files; `image` raises ImageError for one that cannot be."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        # Reading every byte of a large folder to name its cache would cost more than it guards.
        digest.update(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return ImageList(tuple(names), tuple(labels), lambda index: load_image(paths[index]), digest.hexdigest())
