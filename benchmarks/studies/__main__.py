"""Measure studies, and draw them: `python -m benchmarks.studies [NAME ...]`."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.studies.catalogue import STUDIES
from benchmarks.studies.context import StudyContext
from benchmarks.studies.report import StudyReport, draw
from semlink.machine import write_report

ROOT = Path(__file__).parent.parent.parent


def main() -> None:
    """Measure those named on the command line, or all."""
    bench = StudyContext.standard()
    names = sys.argv[1:] or [study.name for study in STUDIES]
    with bench.progress:
        for study in STUDIES:
            if study.name in names:
                report = StudyReport.of(study.name, study.x_label, list(study.measure(bench)))
                write_report(report, ROOT / "benchmarks" / "results" / f"study-{study.name}.json")
                draw(report, ROOT / "docs" / f"study-{study.name}.png")
                bench.progress.console.print(f"measured {study.name}")


if __name__ == "__main__":
    main()
