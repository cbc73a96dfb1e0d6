"""What a command measured, as a report: `--out` writes it to a file, `--json` to standard output."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from semlink.cli.output import print_json
from semlink.report import Report, write_report

__all__ = ["command_line", "deliver_report"]


def command_line() -> str:
    """Return the command that runs, for the header of its report."""
    return shlex.join(["semlink", *sys.argv[1:]])


def deliver_report(report: Report, out: Path | None, *, as_json: bool) -> None:
    """Write a report to the file of `--out`, to standard output for `--json`, or both.

    Raises
    ------
    ResultsError
        If the file cannot be written.
    """
    if out is not None:
        write_report(report, out)
    if as_json:
        print_json(report)
