"""The summary that a command prints: one table layout for both ends and the channel."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from semlink.cli.logs import is_quiet
from semlink.cli.output import notify
from semlink.timing import LatencySummary

__all__ = ["print_counts", "print_latency"]


def print_counts(title: str, counts: Mapping[str, object], *, console: Console) -> None:
    """Print what was counted: a two-column table, or one log line off a terminal."""
    if _is_log(console):
        notify(console, f"{title}: " + ", ".join(f"{name} {value}" for name, value in counts.items()), counts)
        return
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in counts.items():
        table.add_row(name, escape(str(value)))
    _print(table, console)


def print_latency(title: str, stages: Mapping[str, LatencySummary], *, console: Console) -> None:
    """Print percentiles of each stage in milliseconds; nothing where nothing was timed."""
    if not stages:
        return
    if _is_log(console):
        percentiles = {
            name: " ".join(f"{value:.3f}" for value in (summary.p50, summary.p95, summary.p99))
            for name, summary in stages.items()
        }
        listed = ", ".join(f"{name} {values}" for name, values in percentiles.items())
        notify(console, f"{title}, p50 p95 p99 in ms: {listed}", {"stage_latency_ms": stages})
        return
    table = Table("stage", "frames", "p50 ms", "p95 ms", "p99 ms", title=title, title_justify="left")
    for name, summary in stages.items():
        values = (f"{value:.3f}" for value in (summary.p50, summary.p95, summary.p99))
        table.add_row(name, str(summary.num_samples), *values)
    _print(table, console)


def _is_log(console: Console) -> bool:
    """Whether a console is a log for one event a line, and not somebody's terminal or a result on stdout."""
    return console.stderr and not console.is_terminal


def _print(table: Table, console: Console) -> None:
    if not (console.stderr and is_quiet()):
        console.print(table)
