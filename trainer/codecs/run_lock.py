"""The lock of a kept fit: two commands that need the same fit share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semlink.errors import ResultsError
from semlink.files import locked_file

__all__ = ["locked_run"]


@contextmanager
def locked_run(path: Path) -> Iterator[None]:
    """Let one process at a time find or write the file of a fit; the second finds what the first has fitted.

    Parameters
    ----------
    path : file of the fit; its folder is made

    Raises
    ------
    ResultsError
        If the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked_file(path.with_suffix(".lock")):
            yield
    except OSError as error:
        raise ResultsError(
            f"{path}: the training run cannot be kept: {error.strerror or error}; choose another --runs-dir"
        ) from None
