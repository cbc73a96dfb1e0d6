"""What every suite stands on: a small model set, pictures, and a knowledge base of them."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    # Every core has a worker already; the variables act before the libraries are imported, and on child processes.
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from engines.models.model_set import ModelSet
from semlink.image import RGBImage
from tests.support.deadlines import TIMEOUT_SCALE
from tests.support.model_sets import make_model_set
from tests.support.processes import accept_interrupts

# A loaded machine says nothing of the code: no example has a time limit but its test's.
settings.register_profile("no time limits", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no time limits")

OPT_IN_MARKERS = {"slow", "gpu", "trt", "radio"}
"""Tests that run only where the expression of `-m` names one of their markers."""

_started_interpreters: list[str] = []


def _record_interpreters(event: str, arguments: tuple[object, ...]) -> None:
    if event == "subprocess.Popen" and Path(os.fsdecode(str(arguments[0]))).name.startswith("python"):
        _started_interpreters.append(str(arguments[1]))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Scale the time limit of a test, and accept Ctrl-C before a worker or a command inherits that it is ignored."""
    config.option.timeout = (config.getoption("timeout") or 0) * TIMEOUT_SCALE
    accept_interrupts()
    sys.addaudithook(_record_interpreters)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    named = set(re.findall(r"\w+", config.getoption("markexpr")))
    unasked = []
    for item in items:
        opt_in = OPT_IN_MARKERS & {marker.name for marker in item.iter_markers()}
        if opt_in and not opt_in & named:
            unasked.append(item)
    if unasked:
        config.hook.pytest_deselected(items=unasked)
        items[:] = [item for item in items if item not in set(unasked)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that starts a Python process without the marker that says so."""
    _started_interpreters.clear()
    yield
    if _started_interpreters and item.get_closest_marker("process") is None:
        pytest.fail(f"needs @pytest.mark.process: it started {_started_interpreters[0]}", pytrace=False)


CLASSES = ("apple", "boat", "cat")
NUM_PER_CLASS = 4


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache that begins empty and goes with the tests, for this process and those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMLINK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Undo what a command sets up in this process: handlers and levels of loggers, and where Python's warnings go."""
    root = logging.getLogger()

    def loggers() -> list[logging.Logger]:
        return [root, *(found for found in root.manager.loggerDict.values() if isinstance(found, logging.Logger))]

    levels = {logger: logger.level for logger in loggers()}
    handlers = list(root.handlers)
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    for logger in loggers():
        level = levels.get(logger, logging.NOTSET)
        # Each change of a level clears the caches of all loggers, of which the libraries have hundreds.
        if logger.level != level:
            logger.setLevel(level)


@pytest.fixture(scope="session")
def model_set(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    """A model set of two rates, 16-d features and 8 x 8 pictures."""
    return make_model_set(tmp_path_factory.mktemp("models") / "synthetic", rates=(16, 64))


@pytest.fixture(scope="session")
def other_model_set(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    """A model set of the same shapes with other weights: another encoder, another codec."""
    return make_model_set(tmp_path_factory.mktemp("models") / "other", rates=(16, 64), seed=1, name="other")


@pytest.fixture(scope="session")
def pictures() -> dict[str, RGBImage]:
    """Name ("class/index.png") to a picture (10, 12, 3) that resembles no other."""
    rng = np.random.default_rng(2)
    names = [f"{label}/{index}.png" for label in CLASSES for index in range(NUM_PER_CLASS)]
    return {name: rng.integers(0, 256, (10, 12, 3), dtype=np.uint8) for name in names}


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory, pictures: dict[str, RGBImage]) -> Path:
    """The pictures as a folder of class folders; not to be changed."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / name)
    return folder
