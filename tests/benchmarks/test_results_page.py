"""docs/results.md is the page of the committed reports."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from benchmarks.evaluations import EVALUATIONS, Evaluation
from benchmarks.results_page import PAGE, results_page
from semlink.cli.renamed import RENAMED_OPTIONS, current_arguments

ROOT = Path(__file__).parents[2]


def test_the_page_is_of_the_committed_reports() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == results_page(ROOT)


def test_every_figure_is_committed() -> None:
    assert all((ROOT / evaluation.figure).is_file() for evaluation in EVALUATIONS)


@pytest.mark.parametrize("evaluation", EVALUATIONS, ids=lambda evaluation: evaluation.name)
def test_every_report_was_made_by_the_command_on_the_page(evaluation: Evaluation) -> None:
    """Reports of 0.1.0 have that version's names of options; the page has today's."""
    program, *arguments = shlex.split(evaluation.report(ROOT).command)
    today = current_arguments(arguments, lambda path: RENAMED_OPTIONS.get(path, {}).values())
    paths = ("--out", str(evaluation.path), "--plot", str(evaluation.figure))
    assert (program, *today) == ("semlink", *evaluation.command, *paths)
