"""Plots of reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

pytest.importorskip("scipy", reason="needs semlink[train]")

from tests.support.reports import record, report_of
from trainer.codecs.table import find_codec
from trainer.evaluation.plot import plot_report
from trainer.evaluation.record import Record


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that are saved, in place of their files."""
    saved: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: saved.append(figure))
    return saved


def lines_of(figures: list[Figure], tmp_path: Path, *records: Record) -> dict[str, str]:
    """Format of each labelled line of a plot of the records: its style by label."""
    plot_report(report_of(*records), tmp_path / "unused.png")
    panel = figures[-1].axes[0]
    handles, labels = panel.get_legend_handles_labels()
    return {
        label: getattr(handle, "lines", [handle])[0].get_linestyle()
        for handle, label in zip(handles, labels, strict=True)
    }


def test_report_becomes_a_picture(tmp_path: Path) -> None:
    plot_report(report_of(record(0, 0.4), record(1, 0.5)), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_interval_is_drawn_within_the_scale(figures: list[Figure], tmp_path: Path) -> None:
    """Two seeds have 12.7 standard errors, here of an accuracy of -2.5 to 3.8."""
    plot_report(report_of(record(0, 0.4), record(1, 0.9)), tmp_path / "plot.png")
    bars: Any
    (bars,) = figures[0].axes[0].containers
    ((low, high),) = ([y for _, y in segment] for segment in bars.lines[2][0].get_segments())
    assert (low, high) == (0.0, 1.0)
    assert figures[0].axes[0].get_ylim()[1] >= 1.0


def test_line_styles_are_those_of_the_table(figures: list[Figure], tmp_path: Path) -> None:
    found = lines_of(
        figures, tmp_path, record(0, 0.4, codec="kbsc-reference"), record(0, 0.4, codec="from another installation")
    )
    assert find_codec("kbsc-reference").line_style.endswith("--")
    assert found["kbsc-reference"] == "--"
    assert found["from another installation"] == "-"


@pytest.mark.parametrize(
    ("codec", "bounds"),
    [("index", ["an entry's"]), ("label", ["a category's"]), ("nested", []), ("from another installation", [])],
)
def test_bounds_are_those_of_what_codecs_send(
    figures: list[Figure], tmp_path: Path, codec: str, bounds: list[str]
) -> None:
    labels = lines_of(figures, tmp_path, record(0, 0.4, codec=codec), record(0, 0.5, codec=codec, snr_db=10.0))
    assert [label.split("bound of ")[1].split(" number")[0] for label in labels if "bound of" in label] == bounds
