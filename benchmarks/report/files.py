"""Report files of any kind: the header and stages as `semlink.report` has them, and the rest as it stands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semlink.report import Report, decode_report, read_report_bytes

__all__ = ["ReportFile", "read_report_file"]


@dataclass(frozen=True)
class ReportFile:
    """A report and where it lies.

    Attributes
    ----------
    body : fields that its kind has besides those of every report
    """

    path: Path
    report: Report
    body: dict[str, Any]

    @property
    def title(self) -> str:
        """Name of the file and date of the measurement."""
        return f"{self.path.name}, {self.report.made_at[:10]}"


def read_report_file(path: Path) -> ReportFile:
    """Read a report of any kind; ConfigError if the file is none."""
    data = read_report_bytes(path)
    report, content = decode_report(path, data, Report), json.loads(data)
    return ReportFile(path, report, {k: v for k, v in content.items() if k not in Report.__struct_fields__})
