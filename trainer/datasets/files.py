"""Lists of image files."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from semlink.errors import DatasetError, ImageError
from semlink.image import load_image
from trainer.datasets.base import ImageList
from trainer.progress import progress_task

__all__ = ["list_of_files", "readable_files"]

_log = logging.getLogger(__name__)


def list_of_files(paths: Sequence[Path], names: Sequence[str], labels: Sequence[str]) -> ImageList:
    """Make a list of images that are read from files; `image` raises ImageError if its file cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        # Size and time in place of the content: reading every byte of a large folder for a cache key takes too long.
        digest.update(os.fsencode(path.resolve()) + f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return ImageList(tuple(names), tuple(labels), lambda index: load_image(paths[index]), digest.hexdigest())


def readable_files(
    folder: Path, paths: Sequence[Path], *, progress: Progress | None = None
) -> tuple[list[Path], tuple[str, ...]]:
    """Decode every image once, so that a damaged file does not end hours of work.

    Files that cannot be read are logged and left out.

    Parameters
    ----------
    folder : folder of the files, for the error message
    paths : files to decode
    progress : display for a bar

    Returns
    -------
    readable : files that can be decoded, in the given order
    skipped : path of each other file, and the reason

    Raises
    ------
    DatasetError
        If no file can be read.
    """
    readable, skipped = [], []
    with progress_task(progress, f"checking {folder.name}", len(paths)) as advance:
        for path in paths:
            try:
                # A JPEG is decoded to its end, at an eighth of its size.
                load_image(path, min_side_px=1)
            except ImageError as error:
                _log.warning("skipped %s", error)
                skipped.append(str(error))
            else:
                readable.append(path)
            advance(1)
    if not readable:
        raise DatasetError(f"{folder}: none of {len(skipped)} images can be read; the first: {skipped[0]}")
    return readable, tuple(skipped)
