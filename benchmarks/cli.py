"""Command line of a benchmark module: unknown arguments are refused, errors end in one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from semlink.cli import options
from semlink.cli.logs import configure_logging
from semlink.errors import SemlinkError

__all__ = ["ReportPath", "run_command"]

ReportPath = Annotated[Path, options.output("--out", help="JSON report to write; by default in benchmarks/results/.")]


def run_command(command: Callable[..., None], name: str, arguments: Sequence[str] | None = None) -> None:
    """Parse the arguments by the function's signature, run it and exit.

    Parameters
    ----------
    name : of the module, for messages and help
    arguments : those of the process if not given
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    configure_logging()
    try:
        app(args=None if arguments is None else list(arguments), prog_name=f"python -m {name}")
    except SemlinkError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
