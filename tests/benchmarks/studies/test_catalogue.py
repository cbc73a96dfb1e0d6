"""Every study has a report and a figure."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from benchmarks.report.schemas import StudyReport
from benchmarks.studies.catalogue import STUDIES, Study
from semlink.report import read_report

ROOT = Path(__file__).parents[3]


def test_names_are_unique() -> None:
    assert len({study.name for study in STUDIES}) == len(STUDIES)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_the_committed_report_is_of_the_study(study: Study) -> None:
    report = read_report(ROOT / study.path, StudyReport)
    assert (report.name, report.x_label) == (study.name, study.x_label)
    assert report.command == f"python -m benchmarks.studies {study.name}"
    assert (ROOT / study.figure).is_file()
