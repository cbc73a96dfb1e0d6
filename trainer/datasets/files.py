"""Lists of picture files."""

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
    """List pictures that are read from their files; `image` raises ImageError for one that cannot be."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        # Reading every byte of a large folder to name its cache would cost more than it guards.
        digest.update(os.fsencode(path.resolve()) + f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return ImageList(tuple(names), tuple(labels), lambda index: load_image(paths[index]), digest.hexdigest())


def readable_files(
    folder: Path, paths: Sequence[Path], *, progress: Progress | None = None
) -> tuple[list[Path], tuple[str, ...]]:
    """Decode every picture once, so that a damaged one does not end hours of work in their midst.

    A picture that cannot be read is left out, logged and named.

    Parameters
    ----------
    folder : where they come from, for the error
    paths : files to try
    progress : where to show a bar

    Returns
    -------
    readable : those that are whole, in the order given
    skipped : for each of the others, its path and what is wrong with it

    Raises
    ------
    DatasetError
        If not one can be read.
    """
    readable, skipped = [], []
    with progress_task(progress, f"checking {folder.name}", len(paths)) as advance:
        for path in paths:
            try:
                # A JPEG is decoded at an eighth of its size, and to its end all the same.
                load_image(path, min_side_px=1)
            except ImageError as error:
                _log.warning("skipped %s", error)
                skipped.append(str(error))
            else:
                readable.append(path)
            advance(1)
    if not readable:
        raise DatasetError(f"{folder}: {len(skipped)} pictures and none can be read; the first: {skipped[0]}")
    return readable, tuple(skipped)
