"""docs/results.md is the page of the committed reports."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from benchmarks.evaluations import EVALUATIONS, Evaluation
from benchmarks.results_page import PAGE, results_page

ROOT = Path(__file__).parents[2]


def test_the_page_is_of_the_committed_reports() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == results_page(ROOT)


def test_every_figure_is_committed() -> None:
    assert all((ROOT / evaluation.figure).is_file() for evaluation in EVALUATIONS)


@pytest.mark.parametrize("evaluation", EVALUATIONS, ids=lambda evaluation: evaluation.name)
def test_every_report_was_made_by_the_command_on_the_page(evaluation: Evaluation) -> None:
    assert evaluation.report(ROOT).command.startswith(f"semlink {' '.join(evaluation.command)} --out")
