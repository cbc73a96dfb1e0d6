"""CIFAR-100 from its official binary archive, on disk or downloaded once and checked.

The binary version is read, because the pickles of the Python version could run code. Each record is a coarse label,
a fine label, and 32 x 32 pixels in three planes: red, green, blue.

Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from semlink.cache import cache_folder
from semlink.errors import DatasetError
from semlink.image import RGBImage
from trainer.datasets.base import Dataset, ImageList, split_by_halves
from trainer.download import RemoteFile, fetch, verify

__all__ = ["ARCHIVE", "NUM_IMAGES", "find_or_fetch", "open_cifar100", "open_split", "paper_train_split"]

Split: TypeAlias = Literal["train", "test"]

ARCHIVE = RemoteFile(
    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", "md5", "03b5dce01913d631647c71ecec9e9cb8", DatasetError
)
NUM_IMAGES: dict[Split, int] = {"train": 50_000, "test": 10_000}

_FOLDER = "cifar-100-binary"
_NAMES = "fine_label_names.txt"
_SIDE_PX, _NUM_CLASSES = 32, 100
_LABEL_BYTES = 2
_RECORD_BYTES = _LABEL_BYTES + 3 * _SIDE_PX * _SIDE_PX


def open_cifar100(data_folder: Path | None = None, *, progress: Progress | None = None) -> Dataset:
    """CIFAR-100 as the paper uses it: the test set split in halves, and the training set.

    Parameters
    ----------
    data_folder : see `find_or_fetch`

    Raises
    ------
    DatasetError
        If the files can neither be found nor downloaded, or are damaged.
    """
    folder = find_or_fetch(data_folder, progress=progress)
    return split_by_halves("cifar100", open_split(folder, "test"), train=open_split(folder, "train"))


def find_or_fetch(data_folder: Path | None = None, *, progress: Progress | None = None) -> Path:
    """Find the folder with train.bin, test.bin and fine_label_names.txt, or download it.

    Places are `data_folder`, `$SEMLINK_DATA` and the cache, in this order. Each may be the folder itself, or contain it
    or the archive, which is unpacked into the cache.

    Raises
    ------
    DatasetError
        If it cannot be downloaded, or an archive is not the official one.
    """
    environment = os.environ.get("SEMLINK_DATA")
    cache = cache_folder()
    roots = [root for root in (data_folder, Path(environment) if environment else None, cache) if root is not None]
    for root in roots:
        for folder in (root, root / _FOLDER):
            if (folder / "test.bin").is_file():
                return folder
        archive = root / Path(ARCHIVE.url).name
        if archive.is_file():
            verify(archive, ARCHIVE)
            return _unpack(archive, cache / _FOLDER)
    archive = fetch(ARCHIVE, cache / Path(ARCHIVE.url).name, progress=progress)
    folder = _unpack(archive, cache / _FOLDER)
    archive.unlink()
    return folder


def open_split(folder: Path, split: Split) -> ImageList:
    """One of the archive's two sets, in its order; names are like `train-00000`, labels are the fine classes.

    Raises
    ------
    DatasetError
        If a file is missing or its size or its labels are not CIFAR-100's.
    """
    path, num_images = folder / f"{split}.bin", NUM_IMAGES[split]
    fix = f"delete the folder and run again, or unpack {ARCHIVE.url} there"
    try:
        classes = (folder / _NAMES).read_text(encoding="utf-8").split()
        size_bytes = path.stat().st_size
        if size_bytes != num_images * _RECORD_BYTES:
            raise DatasetError(f"{path}: {size_bytes} bytes, expected {num_images * _RECORD_BYTES}; {fix}")
        records = np.memmap(path, dtype=np.uint8, mode="r", shape=(num_images, _RECORD_BYTES))
    except OSError as error:
        raise DatasetError(f"{error.filename or path}: {error.strerror}; {fix}") from None
    fine = np.asarray(records[:, 1])
    if len(classes) != _NUM_CLASSES or fine.max() >= _NUM_CLASSES:
        raise DatasetError(
            f"{folder}: {len(classes)} class names, labels up to {fine.max()}, expected 100 and 99; {fix}"
        )

    def load(index: int) -> RGBImage:
        planes = records[index, _LABEL_BYTES:].reshape(3, _SIDE_PX, _SIDE_PX)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))

    names = tuple(f"{split}-{index:05}" for index in range(num_images))
    return ImageList(names, tuple(classes[label] for label in fine), load, hashlib.sha256(records.data).hexdigest())


def paper_train_split(num_images: int, seed: int) -> tuple[npt.NDArray[np.int64], ...]:
    """The paper's 80/10/10 split of a training set: for training, and to send and to search in validation.

    Parameters
    ----------
    num_images : size of the training set
    seed : of the permutation

    Returns
    -------
    train, validation_sent, validation_kb : indices in increasing order; a partition of all images
    """
    order = np.random.default_rng(seed).permutation(num_images)
    tenth = num_images // 10
    return tuple(np.sort(part) for part in np.split(order, [num_images - 2 * tenth, num_images - tenth]))


def _unpack(archive: Path, folder: Path) -> Path:
    """Extract the three files by name, so that nothing else in an archive reaches the disk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as tar:
            # Last, because `find_or_fetch` takes a folder with test.bin for complete.
            for name in (_NAMES, "train.bin", "test.bin"):
                member = tar.extractfile(f"{_FOLDER}/{name}")
                if member is None:
                    raise DatasetError(f"{archive}: {name} is not a regular file; download it again from {ARCHIVE.url}")
                part = folder / f"{name}.part"
                with part.open("wb") as file:
                    while block := member.read(1 << 20):
                        file.write(block)
                part.replace(folder / name)
    except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
        raise DatasetError(f"{archive}: cannot be unpacked: {error}; download it again from {ARCHIVE.url}") from None
    return folder
