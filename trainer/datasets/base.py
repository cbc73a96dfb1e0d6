"""A dataset: images to send, a knowledge base to search, and the criterion of a correct retrieval."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.progress import Progress

from semlink.errors import ConfigError, DatasetError
from semlink.image import RGBImage
from semlink.machine import num_cores
from trainer.progress import progress_task

__all__ = ["Dataset", "ImageList", "half_split", "split_by_halves", "write_folder"]

_UNSAFE_IN_FILE_NAMES = re.compile(r"[^\w.-]+")
# The files are read back within seconds, so that time matters and size does not.
_PNG_COMPRESSION = 1


@dataclass(frozen=True)
class ImageList:
    """Named and labelled images, each read when it is used.

    Attributes
    ----------
    names : unique
    labels : category of each image
    load : function that reads image i, (height, width, 3) uint8 RGB
    content_key : changes whenever an image does; the key of caches of derived values
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    load: Callable[[int], RGBImage]
    content_key: str

    def __post_init__(self) -> None:
        if len(self.names) != len(self.labels):
            raise ConfigError(f"names and labels must have one length, got {len(self.names)} and {len(self.labels)}")
        if len(set(self.names)) != len(self.names):
            raise ConfigError("names of images must be unique")

    @classmethod
    def of_arrays(cls, images: Sequence[RGBImage], names: Sequence[str], labels: Sequence[str]) -> ImageList:
        """Make a list of images that are in memory."""
        digest = hashlib.sha256()
        for image in images:
            digest.update(str(image.shape).encode())
            digest.update(np.ascontiguousarray(image).data)
        return cls(tuple(names), tuple(labels), images.__getitem__, digest.hexdigest())

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> RGBImage:
        """Read image `index`: (height, width, 3) uint8, RGB."""
        return self.load(index)

    def subset(self, indices: npt.NDArray[np.int64]) -> ImageList:
        """The images at `indices`, in that order."""
        positions = [int(index) for index in indices]
        return ImageList(
            tuple(self.names[position] for position in positions),
            tuple(self.labels[position] for position in positions),
            lambda index: self.load(positions[index]),
            hashlib.sha256(self.content_key.encode() + indices.astype("<i8").tobytes()).hexdigest(),
        )

    def joined(self, other: ImageList) -> ImageList:
        """These images and then those of another list; names are prefixed with a/ and b/."""
        return ImageList(
            tuple(f"{part}/{name}" for part, images in (("a", self), ("b", other)) for name in images.names),
            self.labels + other.labels,
            lambda index: self.load(index) if index < len(self) else other.load(index - len(self)),
            hashlib.sha256(f"{self.content_key} {other.content_key}".encode()).hexdigest(),
        )

    def spread(self, limit: int | None) -> ImageList:
        """At most `limit` images at even distances, so that every class of a sorted list is represented."""
        if limit is None or limit >= len(self):
            return self
        if limit < 1:
            raise ConfigError(f"limit must be at least 1, got {limit}")
        return self.subset(np.linspace(0, len(self) - 1, limit).astype(np.int64))


@dataclass(frozen=True)
class Dataset:
    """Images to send, and a knowledge base to search.

    Attributes
    ----------
    name : as `--data` takes it
    sent : images that the transmitter sends
    knowledge_base : images of the receiver's knowledge base; none of them is in `sent`
    train : images to train codecs on; None if the dataset has none besides
    criterion : of a correct retrieval, a clause for reports
    skipped : path of each file that cannot be read, and the reason
    """

    name: str
    sent: ImageList
    knowledge_base: ImageList
    train: ImageList | None
    criterion: str
    skipped: tuple[str, ...] = ()


def half_split(labels: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The paper's split: of each class the first half is sent, the second is the knowledge base.

    A class of odd size gives its middle image to the knowledge base.

    Parameters
    ----------
    labels : category of each image, in the dataset's order

    Returns
    -------
    sent, knowledge_base : indices in increasing order

    Examples
    --------
    >>> sent, knowledge_base = half_split(["cat", "dog", "cat", "dog", "dog"])
    >>> sent.tolist(), knowledge_base.tolist()
    ([0, 1], [2, 3, 4])
    """
    all_labels = np.asarray(labels)
    is_sent = np.zeros(len(all_labels), dtype=bool)
    for label in np.unique(all_labels):
        members = np.flatnonzero(all_labels == label)
        is_sent[members[: len(members) // 2]] = True
    return np.flatnonzero(is_sent), np.flatnonzero(~is_sent)


def split_by_halves(name: str, images: ImageList, *, train: ImageList | None = None) -> Dataset:
    """Make a dataset of labelled images by `half_split`."""
    sent, knowledge_base = half_split(images.labels)
    if not len(sent):
        raise DatasetError(f"{name}: no class has two images, one to send and one for the knowledge base; add images")
    criterion = "the retrieved image has the sent image's category"
    return Dataset(name, images.subset(sent), images.subset(knowledge_base), train, criterion)


def write_folder(images: ImageList, folder: Path, *, progress: Progress | None = None) -> list[Path]:
    """Write images as `folder/<label>/<name>.png`, so that other processes can read them; one thread for each core.

    Labels and names are made safe for any file system; if two become equal, the later gets a number.

    Parameters
    ----------
    images : images to write
    folder : created if it does not exist; files of the same names are replaced
    progress : display for a bar

    Returns
    -------
    paths : one for each image, in the list's order

    Raises
    ------
    DatasetError
        If the disk is full or the folder cannot be written.
    """
    paths = [folder / name for name in _file_names(images)]

    def write(index: int) -> None:
        Image.fromarray(images.image(index)).save(paths[index], compress_level=_PNG_COMPRESSION)

    pool = ThreadPoolExecutor(num_cores())
    try:
        for parent in {path.parent for path in paths}:
            parent.mkdir(parents=True, exist_ok=True)
        with progress_task(progress, f"writing {folder.name}", len(images)) as advance:
            for _ in pool.map(write, range(len(images))):
                advance(1)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be written: {error}") from None
    finally:
        pool.shutdown(cancel_futures=True)
    return paths


def _file_names(images: ImageList) -> list[str]:
    """`<label>/<name>.png` for each image, all different even if case is ignored."""
    folder_of: dict[str, str] = {}
    folders: set[str] = set()
    files: set[str] = set()
    names = []
    for name, label in zip(images.names, images.labels, strict=True):
        if label not in folder_of:
            folder_of[label] = _unused(_safe(label), folders)
        names.append(_unused(f"{folder_of[label]}/{_safe(name)}", files) + ".png")
    return names


def _safe(text: str) -> str:
    # A leading dot would hide the file, and ".." would leave the folder.
    return _UNSAFE_IN_FILE_NAMES.sub("_", text).lstrip(".") or "_"


def _unused(name: str, used: set[str]) -> str:
    """`name`, with the first free number appended if it is used; the result is added to `used`."""
    candidate, number = name, 1
    while candidate.lower() in used:
        number += 1
        candidate = f"{name}-{number}"
    used.add(candidate.lower())
    return candidate
