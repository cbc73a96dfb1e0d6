"""What a command measured, as a report: `--out` writes it to a file, `--json` to standard output."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass

from semlink.cli import options
from semlink.cli.output import notify_of_files, print_json
from semlink.report import Report, require_writable, write_report

__all__ = ["TO_TABLE", "ReportOutput", "command_line"]


def command_line() -> str:
    """Return the command that runs, for the header of its report."""
    return shlex.join(["semlink", *sys.argv[1:]])


@dataclass(frozen=True)
class ReportOutput:
    """Options of a command that makes a report, as a group of `semlink.cli.option_groups`."""

    as_json: options.AsJson = False
    out: options.OutFile = None

    @property
    def is_wanted(self) -> bool:
        """Whether the report is written anywhere."""
        return self.as_json or self.out is not None

    def require_writable(self) -> None:
        """Refuse a file that cannot be written, before the measurement; ResultsError then."""
        if self.out is not None:
            require_writable(self.out)

    def deliver(self, report: Report) -> None:
        """Write a report to the file of `--out`, which is announced, to standard output for `--json`, or both.

        Raises
        ------
        ResultsError
            If the file cannot be written.
        """
        if self.out is not None:
            write_report(report, self.out)
            notify_of_files(self.out)
        if self.as_json:
            print_json(report)


TO_TABLE = ReportOutput()
"""The default: the command prints its table, and no report is written."""
