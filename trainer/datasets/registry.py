"""Datasets by name."""

from __future__ import annotations

import os
from pathlib import Path

from rich.progress import Progress

from semlink.errors import ConfigError
from trainer.datasets.base import Dataset
from trainer.datasets.cifar100 import open_cifar100
from trainer.datasets.digits import open_digits
from trainer.datasets.folder import open_folder
from trainer.datasets.photos import DEFAULT_NUM_VIEWS, open_photos

__all__ = ["DATASETS", "open_dataset"]

DATASETS = ("digits", "photos", "cifar100")
"""Names of datasets; any other name is a folder, or one in the folder that $SEMLINK_DATA names."""


def open_dataset(
    name_or_folder: str | Path,
    *,
    data_folder: Path | None = None,
    seed: int = 0,
    num_views: int = DEFAULT_NUM_VIEWS,
    progress: Progress | None = None,
) -> Dataset:
    """Open a dataset by name, or any folder of images.

    Parameters
    ----------
    name_or_folder : "digits", "photos", "cifar100", a folder (`./digits` for a folder of such a name), or the name of a
        folder in $SEMLINK_DATA
    data_folder : first folder to search for cifar100; see `trainer.datasets.cifar100.find_or_fetch`
    seed, num_views : of the views that are sent of `photos` and flat folders
    progress : display for the bar of a download, or of the check of a folder's images

    Raises
    ------
    ConfigError
        If it is neither a name nor a folder.
    DatasetError
        If it is incomplete or damaged.
    MissingDependencyError
        If the package that contains it is not installed.
    """
    match name_or_folder:
        case "digits":
            return open_digits()
        case "photos":
            return open_photos(seed=seed, num_views=num_views)
        case "cifar100":
            return open_cifar100(data_folder, progress=progress)
    return open_folder(_find_folder(name_or_folder), seed=seed, num_views=num_views, progress=progress)


def _find_folder(name_or_folder: str | Path) -> Path:
    folders = [Path(name_or_folder)]
    if data := os.environ.get("SEMLINK_DATA"):
        folders.append(Path(data, name_or_folder))
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        raise ConfigError(
            f'dataset "{name_or_folder}" is neither a folder, here or in $SEMLINK_DATA, nor one of:'
            f" {', '.join(DATASETS)}"
        )
    return found
