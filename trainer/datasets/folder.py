"""A folder of images as a dataset: with class folders, or flat and without labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from semlink.errors import DatasetError
from semlink.image import image_files
from trainer.datasets.base import Dataset, ImageList, split_by_halves
from trainer.datasets.files import list_of_files, readable_files
from trainer.datasets.views import dataset_of_views

__all__ = ["open_folder"]


def open_folder(folder: Path, *, seed: int = 0, num_views: int = 5, progress: Progress | None = None) -> Dataset:
    """Open a folder of images.

    - `train/<class>/...` and `test/<class>/...`: the test set is split in halves, as below, and codecs are trained on
      the training set.
    - `<class>/...`: of each class, in order of file names, the first half is sent and the second is the knowledge base.
    - images in the folder itself, without labels: they are the knowledge base, `num_views` seeded views of each
      (`trainer.datasets.views`) are sent, and a retrieval is correct if it is the image of the view.

    Every image is decoded once; files that cannot be read are logged, left out and listed in `Dataset.skipped`. Hidden
    files and folders are ignored.

    Parameters
    ----------
    folder : images of any format in `semlink.image.IMAGE_SUFFIXES`, in class folders at any depth
    seed, num_views : of the views, for a flat folder
    progress : display for a bar

    Raises
    ------
    ConfigError
        If there is no image.
    DatasetError
        If no image can be read, images are both beside and inside class folders, or no class has two images.
    """
    name = folder.resolve().name
    paths = image_files(folder)
    if _is_flat(folder, paths):
        paths, skipped = readable_files(folder, paths, progress=progress)
        return replace(dataset_of_views(name, _flat_list(paths), num_views=num_views, seed=seed), skipped=skipped)
    parts = {part: [path for path in paths if path.is_relative_to(folder / part)] for part in ("train", "test")}
    has_parts = sum(map(len, parts.values())) == len(paths) and all(parts.values())
    if has_parts and not any(_is_flat(folder / part, files) for part, files in parts.items()):
        train, skipped_train = readable_files(folder / "train", parts["train"], progress=progress)
        test, skipped_test = readable_files(folder / "test", parts["test"], progress=progress)
        dataset = split_by_halves(name, _class_list(folder / "test", test), train=_class_list(folder / "train", train))
        return replace(dataset, skipped=skipped_test + skipped_train)
    paths, skipped = readable_files(folder, paths, progress=progress)
    return replace(split_by_halves(name, _class_list(folder, paths)), skipped=skipped)


def _is_flat(folder: Path, paths: Sequence[Path]) -> bool:
    """Whether the images are in the folder itself; DatasetError if only some are."""
    beside = [path for path in paths if path.parent == folder]
    if beside and len(beside) < len(paths):
        inside = next(path for path in paths if path.parent != folder).relative_to(folder).parts[0]
        raise DatasetError(
            f"{folder}: images are both beside and inside class folders (such as {beside[0].name} and {inside}/);"
            " move them so that all are beside or all are inside"
        )
    return bool(beside)


def _class_list(folder: Path, paths: Sequence[Path]) -> ImageList:
    names = [path.relative_to(folder).as_posix() for path in paths]
    return list_of_files(paths, names, [name.partition("/")[0] for name in names])


def _flat_list(paths: Sequence[Path]) -> ImageList:
    """Each image is a class of its own, named by its stem, or by its file name if two images have one stem."""
    stems = Counter(path.stem for path in paths)
    names = [path.stem if stems[path.stem] == 1 else path.name for path in paths]
    return list_of_files(paths, names, names)
