"""How a command tells people what it did: one table layout for both ends and the channel."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from semlink.timing import LatencySummary

__all__ = ["print_counts", "print_latency"]


def print_counts(title: str, counts: Mapping[str, object], *, console: Console) -> None:
    """A two-column table of what was counted."""
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in counts.items():
        table.add_row(name, escape(str(value)))
    console.print(table)


def print_latency(title: str, stages: Mapping[str, LatencySummary], *, console: Console) -> None:
    """Percentiles of each stage in milliseconds; prints nothing where nothing was timed."""
    if not stages:
        return
    table = Table("stage", "frames", "p50 ms", "p95 ms", "p99 ms", title=title, title_justify="left")
    for name, summary in stages.items():
        values = (f"{value:.3f}" for value in (summary.p50, summary.p95, summary.p99))
        table.add_row(name, str(summary.num_samples), *values)
    console.print(table)
