"""Photographs in the wheels of scikit-image and scikit-learn, and seeded views of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from semlink.errors import DatasetError, MissingDependencyError
from trainer.datasets.base import Dataset
from trainer.datasets.files import list_of_files
from trainer.datasets.views import dataset_of_views

__all__ = ["PHOTOGRAPHS", "open_photos"]

DEFAULT_NUM_VIEWS = 5

# Without drawings, silhouettes, test charts, animations, files that the packages download, and motorcycle_right, the
# other half of a stereo pair.
PHOTOGRAPHS: dict[str, tuple[str, ...]] = {
    "skimage/data": (
        "astronaut.png",
        "brick.png",
        "camera.png",
        "cell.png",
        "chelsea.png",
        "clock_motion.png",
        "coffee.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "microaneurysms.png",
        "moon.png",
        "motorcycle_left.png",
        "page.png",
        "retina.jpg",
        "rocket.jpg",
        "text.png",
    ),
    "sklearn/datasets/images": ("china.jpg", "flower.jpg"),
}
"""Folder in a package: the files used of it."""

_PACKAGES = {"skimage": "scikit-image", "sklearn": "scikit-learn"}


def open_photos(*, seed: int = 0, num_views: int = DEFAULT_NUM_VIEWS) -> Dataset:
    """Photographs as the knowledge base; `num_views` seeded views of each are sent.

    There are 21: people and objects (an astronaut, a cameraman, a cat, coffee, coins, a clock blurred by motion, a
    motorcycle, a rocket), scenes (a temple, a flower), textures (brick, grass, gravel), text (a printed page,
    handwriting), the sky (the moon, the Hubble deep field) and medical images (a cell, stained tissue, a retina, a
    detail of one). Eleven are greyscale. The views are computed, so that this dataset is for looking at, and says less
    about accuracy than a dataset of independent images.

    Parameters
    ----------
    seed : of the views
    num_views : views of each photograph, at least 1

    Raises
    ------
    MissingDependencyError
        If scikit-image or scikit-learn is not installed.
    DatasetError
        If the installed release does not have one of the photographs.
    """
    paths = [path for folder, files in PHOTOGRAPHS.items() for path in _find(folder, files)]
    names = [path.stem for path in paths]
    return dataset_of_views("photos", list_of_files(paths, names, names), num_views=num_views, seed=seed)


def _find(folder: str, files: tuple[str, ...]) -> list[Path]:
    module, _, inside = folder.partition("/")
    # Finds the package's folder; importing it would take a second.
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError.of(_PACKAGES[module], extra="demo", purpose="the photos dataset")
    paths = [Path(spec.submodule_search_locations[0]) / inside / file for file in files]
    for path in paths:
        if not path.is_file():
            raise DatasetError(
                f"{path}: not in this release of {_PACKAGES[module]}; install the releases of semlink's constraints.txt"
            )
    return paths
