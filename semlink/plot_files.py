"""Files of plots: PNG, SVG or PDF, by matplotlib where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from semlink.errors import ConfigError, MissingDependencyError, ResultsError
from semlink.report import require_writable

__all__ = ["require_plottable", "save_figure"]

_SUFFIXES = (".png", ".svg", ".pdf")


def require_plottable(path: Path) -> None:
    """Refuse a path where no plot can be written; makes its folder.

    Raises
    ------
    ConfigError
        If it is no PNG, SVG or PDF file.
    MissingDependencyError
        If matplotlib is not installed.
    ResultsError
        If the folder cannot be made or written.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"{path}: a plot is a file of one of the kinds {', '.join(_SUFFIXES)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError.of("matplotlib", extra="demo", purpose="a plot")
    require_writable(path)


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure of matplotlib; ResultsError if it cannot be written."""
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise ResultsError(f"{path}: the plot cannot be written: {error.strerror or error}") from None
