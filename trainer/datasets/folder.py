"""A folder of pictures as a dataset: with class folders, or flat and without labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from semlink.errors import DatasetError
from semlink.image import IMAGE_SUFFIXES
from trainer.datasets.base import Dataset, ImageList, split_by_halves
from trainer.datasets.files import list_of_files
from trainer.datasets.views import dataset_of_views

__all__ = ["open_folder"]


def open_folder(folder: Path, *, seed: int = 0, num_views: int = 5) -> Dataset:
    """Open a folder of pictures.

    - `train/<class>/...` and `test/<class>/...`: the test set is split in halves, as below, and
      codecs may learn from the training set.
    - `<class>/...`: of each class, in order of file names, the first half is sent and the second is
      the knowledge base.
    - pictures right in the folder, without labels: they are the knowledge base, what is sent are
      `num_views` seeded views of each (`trainer.datasets.views`), and right means the same picture.

    Parameters
    ----------
    folder : pictures of any format in `semlink.image.IMAGE_SUFFIXES`, in class folders at any depth
    seed, num_views : of the views, for a flat folder

    Raises
    ------
    DatasetError
        If there is no picture, there are pictures both beside and inside class folders, or no class
        has two.
    """
    name = folder.resolve().name
    flat = _pictures(folder, "*")
    classes = _class_folders(folder)
    if flat and classes:
        raise DatasetError(
            f"{folder}: has pictures both beside and inside class folders (such as {flat[0].name} and "
            f"{classes[0].name}/); move them so that it is one or the other"
        )
    if flat:
        return dataset_of_views(name, _flat_list(flat), num_views=num_views, seed=seed)
    if not classes:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        raise DatasetError(f"{folder}: no pictures in it or its folders; files that end in these count: {suffixes}")
    if [path.name for path in classes] == ["test", "train"] and all(_class_folders(path) for path in classes):
        return split_by_halves(name, _class_list(classes[0]), train=_class_list(classes[1]))
    return split_by_halves(name, _class_list(folder))


def _pictures(folder: Path, pattern: str) -> list[Path]:
    try:
        found = sorted(
            path for path in folder.glob(pattern) if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
        )
    except OSError as error:
        raise DatasetError(f"{folder}: {error.strerror}") from None
    return found


def _class_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and _pictures(path, "**/*"))


def _class_list(folder: Path) -> ImageList:
    paths = [path for class_folder in _class_folders(folder) for path in _pictures(class_folder, "**/*")]
    names = [path.relative_to(folder).as_posix() for path in paths]
    return list_of_files(paths, names, [name.partition("/")[0] for name in names])


def _flat_list(paths: list[Path]) -> ImageList:
    """Each picture is its own label: its stem, or its whole name where two share a stem."""
    stems = Counter(path.stem for path in paths)
    names = [path.stem if stems[path.stem] == 1 else path.name for path in paths]
    return list_of_files(paths, names, names)
