"""Logging as the tests found it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Undo what a test sets up: handlers of the root logger, levels, and where Python's warnings go."""
    root = logging.getLogger()
    names = ["", *root.manager.loggerDict]
    levels, handlers = {name: logging.getLogger(name).level for name in names}, list(root.handlers)
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    for name in ["", *root.manager.loggerDict]:
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
