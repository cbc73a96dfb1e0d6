"""Features of a list of images: computed once, cached on disk, and continued after an interruption."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from rich.progress import Progress

from engines.models.image_encoder import Features
from semlink.cache import cache_folder
from semlink.errors import DatasetError
from semlink.files import locked_file
from semlink.image import RGBImage
from trainer.datasets.base import ImageList
from trainer.progress import progress_task

__all__ = ["FeatureEncoder", "cached_features"]

_BATCH_SIZE = 16
# An interruption loses at most one block; writing every batch to the disk would take too long.
_BATCHES_PER_BLOCK = 8


class FeatureEncoder(Protocol):
    """Interface of an image encoder: `engines.models.image_encoder.ImageEncoder`, or an object of your own."""

    @property
    def name(self) -> str:
        """Name for reports."""
        ...

    @property
    def fingerprint(self) -> str:
        """Text that changes whenever the features do."""
        ...

    @property
    def feature_dim(self) -> int:
        """Number of features of an image."""
        ...

    def encode(self, images: Sequence[RGBImage]) -> Features:
        """Encode images of any sizes: (len(images), feature_dim) float32, each row of unit L2 norm."""
        ...


def cached_features(
    images: ImageList, encoder: FeatureEncoder, *, cache: Path | None = None, progress: Progress | None = None
) -> Features:
    """Encode every image, or read the features from the cache.

    The file's name is a hash of the images' content key and the encoder's fingerprint. Rows are appended as they are
    computed: a call that finds an unfinished file continues after its last complete row. Of two processes that need
    the same file, one waits for the other.

    Parameters
    ----------
    images : images to encode
    encoder : any object with the interface
    cache : folder of the files; a folder of semlink's cache if None
    progress : display for a bar

    Returns
    -------
    features : (len(images), feature_dim) float32, in the list's order

    Raises
    ------
    DatasetError
        If the cache cannot be written.
    """
    folder = cache_folder("features") if cache is None else cache
    key = hashlib.sha256(f"{images.content_key}\n{encoder.fingerprint}".encode()).hexdigest()[:32]
    finished = folder / f"{key}.npy"
    shape = (len(images), encoder.feature_dim)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked_file(folder / f"{key}.lock"):
            features = _read(finished, shape)
            if features is not None:
                return features
            part = folder / f"{key}.part"
            _complete(part, images, encoder, progress)
            part.replace(finished)
            return np.asarray(np.load(finished))
    except OSError as error:
        raise DatasetError(
            f"{folder}: features cannot be written: {error.strerror or error}; set SEMLINK_CACHE to another folder"
        ) from None


def _read(path: Path, shape: tuple[int, int]) -> Features | None:
    """Features in a finished file; None if it is missing, truncated or of another shape."""
    try:
        features = np.load(path, allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return features if features.shape == shape and features.dtype == np.float32 else None


def _complete(part: Path, images: ImageList, encoder: FeatureEncoder, progress: Progress | None) -> None:
    """Append the missing rows to `part`, an unfinished .npy file."""
    header = _npy_header((len(images), encoder.feature_dim))
    row_bytes = encoder.feature_dim * np.dtype(np.float32).itemsize
    with part.open("a+b") as file:
        file.seek(0)
        if file.read(len(header)) != header:
            file.truncate(0)
            file.write(header)
        num_done = (file.seek(0, os.SEEK_END) - len(header)) // row_bytes
        file.truncate(len(header) + num_done * row_bytes)
        with progress_task(progress, "encoding images", len(images), completed=num_done) as advance:
            for block, start in enumerate(range(num_done, len(images), _BATCH_SIZE), start=1):
                batch = [images.image(index) for index in range(start, min(start + _BATCH_SIZE, len(images)))]
                file.write(np.ascontiguousarray(encoder.encode(batch), dtype="<f4").data)
                if block % _BATCHES_PER_BLOCK == 0:
                    _flush(file)
                advance(len(batch))
        _flush(file)


def _flush(file: io.BufferedRandom) -> None:
    file.flush()
    os.fsync(file.fileno())


def _npy_header(shape: tuple[int, int]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return header.getvalue()
