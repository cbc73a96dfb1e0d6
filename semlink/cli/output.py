"""Consoles of a command, its results as JSON, and what it announces on stderr."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from semlink.cli.logs import NOTICES, is_configured, is_quiet

__all__ = ["notify", "notify_of_files", "print_json", "stderr_console", "stdout_console"]

_UNWRAPPED_WIDTH = 10_000
"""Columns off a terminal, where nothing needs to fit: no path breaks, no table folds."""

_notices = logging.getLogger(NOTICES)


def stderr_console() -> Console:
    """Console for people: notices, progress and summaries."""
    return _console(stderr=True)


def stdout_console() -> Console:
    """Console for results."""
    return _console(stderr=False)


class _Console(Console):
    """A console that leaves it to `semlink.cli.app.main` to end a command whose reader went away."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _console(*, stderr: bool) -> Console:
    console = _Console(stderr=stderr)
    if not console.is_terminal:
        console.width = _UNWRAPPED_WIDTH
    return console


def print_json(result: object) -> None:
    """Print a result as one line of JSON on standard output, for `--json`."""
    typer.echo(msgspec.json.encode(result).decode())


def notify(console: Console, message: str, fields: Mapping[str, Any] | None = None) -> None:
    """Announce something to people; off a terminal as a log line.

    Parameters
    ----------
    console : of stderr
    fields : values that the message holds, for JSON lines
    """
    if is_quiet():
        return
    if console.stderr and not console.is_terminal and is_configured():
        _notices.info("%s", message, extra={"fields": fields or {}})
    else:
        # Text, since markup would take the brackets of pip's ".[train]" for a colour.
        console.print(Text(message), soft_wrap=True)


def notify_of_files(*paths: Path) -> None:
    """Announce the files that a command has written, on stderr."""
    if paths:
        notify(stderr_console(), f"wrote {' and '.join(map(str, paths))}", {"files": [str(path) for path in paths]})
