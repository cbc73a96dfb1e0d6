"""Training pictures, packages that add parts, and a server to download from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.codec_packages import InstallPackage, install_codec_package
from tests.support.file_server import FileServer, running_file_server


@pytest.fixture(scope="session")
def pictures_to_learn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds train/<class> and test/<class>, of tiny pictures in four shades of grey."""
    folder = tmp_path_factory.mktemp("learn")
    rng = np.random.default_rng(0)
    for split, num_images in (("train", 1300), ("test", 80)):
        for index in range(num_images):
            path = folder / split / f"class{index % 4}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 40, (8, 8, 3)) + 60 * (index % 4)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


@pytest.fixture
def install_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallPackage:
    """Install a package in the test's folder; the test gives its source and its entry points."""
    return partial(install_codec_package, tmp_path, monkeypatch)


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    """A server on a random port that has one file."""
    with running_file_server() as server:
        yield server
