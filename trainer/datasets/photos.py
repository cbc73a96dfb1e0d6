"""Real photographs that the scikit-image and scikit-learn wheels carry, and seeded views of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from semlink.errors import DatasetError, MissingDependencyError
from trainer.datasets.base import Dataset
from trainer.datasets.files import list_of_files
from trainer.datasets.views import dataset_of_views

__all__ = ["PHOTOGRAPHS", "open_photos"]

DEFAULT_NUM_VIEWS = 5

# Drawings, silhouettes, test charts, animations and pictures that the wheels only download are left
# out, and so is motorcycle_right, a stereo twin of motorcycle_left.
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
"""Folder inside a package to the files taken from it."""

_PACKAGES = {"skimage": "scikit-image", "sklearn": "scikit-learn"}


def open_photos(*, seed: int = 0, num_views: int = DEFAULT_NUM_VIEWS) -> Dataset:
    """Photographs as the knowledge base, and as what is sent `num_views` seeded views of each.

    There are 21: people and things (an astronaut, a cameraman, a cat, coffee, coins, a clock
    blurred by motion, a motorcycle, a rocket), scenes (a temple, a flower), close textures
    (brick, grass, gravel), text (a printed page, handwriting), the sky (the moon, the Hubble deep
    field) and the microscope and clinic (a cell, stained tissue, a retina, a detail of one). Eleven
    are greyscale. The views are made here, so this set shows what the eye can judge and says less
    about accuracy than a set of independent pictures.

    Parameters
    ----------
    seed : of the views
    num_views : of each photograph, at least 1

    Raises
    ------
    MissingDependencyError
        If scikit-image or scikit-learn is not installed.
    DatasetError
        If a release of theirs no longer carries one of the photographs.
    """
    paths = [path for folder, files in PHOTOGRAPHS.items() for path in _find(folder, files)]
    names = [path.stem for path in paths]
    return dataset_of_views("photos", list_of_files(paths, names, names), num_views=num_views, seed=seed)


def _find(folder: str, files: tuple[str, ...]) -> list[Path]:
    module, _, inside = folder.partition("/")
    # Only the package's place is wanted; importing it would cost a second and buy nothing.
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError.of(_PACKAGES[module], extra="demo", purpose="the photos dataset")
    paths = [Path(spec.submodule_search_locations[0]) / inside / file for file in files]
    for path in paths:
        if not path.is_file():
            raise DatasetError(
                f"{path}: this release of {_PACKAGES[module]} does not carry it; "
                f"install the releases of semlink's constraints file"
            )
    return paths
