"""Figures of reports, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report.compare import Comparison, Verdict
from semlink.errors import packages_of
from semlink.report import Stage

__all__ = ["draw_changes", "draw_stages", "new_figure", "save_figure"]

_MOST_ROWS = 24
_INCHES_PER_ROW = 0.24
_COLOURS = {Verdict.SLOWER: "tab:red", Verdict.FASTER: "tab:green"}


def new_figure(width_inches: float, height_inches: float) -> Any:
    """Make an empty figure without a window.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    with packages_of("demo", purpose="a chart", package="matplotlib"):
        from matplotlib.figure import Figure
    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure in the format of the path's suffix; the same bytes for the same figure."""
    import matplotlib as mpl

    metadata = {"Date": None} if path.suffix == ".svg" else None
    with mpl.rc_context({"svg.hashsalt": "semlink"}):
        figure.savefig(path, dpi=120, metadata=metadata)


def draw_stages(stages: Sequence[Stage], path: Path) -> None:
    """Draw a bar from p50 to p99 for each stage: the end-to-end ones and then the slowest, in milliseconds."""
    timed = [stage for stage in stages if stage.p50_ms]
    timed.sort(key=lambda stage: (not stage.is_end_to_end, -(stage.p50_ms or 0.0)))
    shown = timed[:_MOST_ROWS][::-1]
    figure = new_figure(9.0, 1.2 + _INCHES_PER_ROW * len(shown))
    axes = figure.subplots()
    for row, stage in enumerate(shown):
        p50_ms = stage.p50_ms or 0.0
        upper_ms = stage.p99_ms or stage.max_ms or p50_ms
        colour = "tab:blue" if stage.is_end_to_end else "tab:grey"
        axes.plot([p50_ms, upper_ms], [row, row], color=colour, linewidth=5, alpha=0.4, solid_capstyle="butt")
        axes.plot([p50_ms], [row], "o", color=colour, markersize=5)
    axes.set_xscale("log")
    axes.set_yticks(range(len(shown)), [stage.name for stage in shown], fontsize="small")
    axes.set_xlabel("p50 (dot) to p99 [ms], end to end in blue")
    axes.grid(axis="x", alpha=0.3)
    if len(shown) < len(timed):
        axes.set_title(f"{len(shown)} of {len(timed)} stages: end to end, and the slowest", fontsize="medium")
    save_figure(figure, path)


def draw_changes(comparison: Comparison, path: Path) -> None:
    """Draw a bar for each stage's change of p50, in per cent of the older one: the largest changes."""
    known = [(change, change.change) for change in comparison.changes if change.change is not None]
    known.sort(key=lambda pair: -abs(pair[1]))
    shown = sorted(known[:_MOST_ROWS], key=lambda pair: pair[1], reverse=True)
    figure = new_figure(9.0, 1.2 + _INCHES_PER_ROW * len(shown))
    axes = figure.subplots()
    for row, (change, share) in enumerate(shown):
        axes.barh(row, 100 * share, color=_COLOURS.get(change.verdict, "tab:grey"))
    axes.set_yticks(range(len(shown)), [change.name for change, _ in shown], fontsize="small")
    axes.set_xlabel("change of p50 [%]")
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.grid(axis="x", alpha=0.3)
    title = "red: slower; green: faster; grey: neither"
    if len(shown) < len(known):
        title = f"the {len(shown)} largest changes of {len(known)}; {title}"
    axes.set_title(title, fontsize="medium")
    save_figure(figure, path)
