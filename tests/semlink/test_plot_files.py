"""Files of plots."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs semlink[train]")

from matplotlib.figure import Figure

from semlink.errors import ConfigError, MissingDependencyError, ResultsError
from semlink.plot_files import require_plottable, save_figure


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a plot is a file of one of the kinds \.png, \.svg, \.pdf"):
        require_plottable(tmp_path / "plot.doc")


def test_missing_matplotlib_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"a plot needs matplotlib; .*train"):
        require_plottable(tmp_path / "plot.png")


def test_figure_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "plot.png").mkdir()
    with pytest.raises(ResultsError, match=r"plot\.png: the plot cannot be written: Is a directory"):
        save_figure(Figure(), tmp_path / "plot.png")
