"""`python -m benchmarks.studies [NAME ...]`: measure studies, and draw their figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cli import run_command
from benchmarks.report.accuracy import draw_study
from benchmarks.report.schemas import StudyReport
from benchmarks.studies.catalogue import STUDIES
from benchmarks.studies.context import SEEDS, StudyContext
from semlink.errors import ConfigError
from semlink.report import provenance, write_report

ROOT = Path(__file__).parents[2]


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Studies to measure; all by default.")] = None,
) -> None:
    """Measure studies into benchmarks/results/, and draw their figures into docs/."""
    known = [study.name for study in STUDIES]
    if unknown := set(names or ()) - set(known):
        raise ConfigError(f"no study {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    context = StudyContext.standard()
    with context.progress:
        for study in (study for study in STUDIES if study.name in (names or known)):
            points = list(study.measure(context))
            report = StudyReport(
                **provenance(f"python -m benchmarks.studies {study.name}"),
                settings={"num_seeds": len(SEEDS), "encoder": context.encoder.name},
                name=study.name,
                x_label=study.x_label,
                points=points,
            )
            write_report(report, ROOT / study.path)
            draw_study(report, ROOT / study.figure)
            context.progress.console.print(f"measured {study.name}")


if __name__ == "__main__":
    run_command(main, "benchmarks.studies")
