"""docs/results.md is what its renderer makes of the committed measurements."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from benchmarks.accuracy import EVALUATIONS, PAGE, ROOT, Evaluation, page


def test_page_is_of_the_committed_measurements() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("evaluation", EVALUATIONS, ids=lambda evaluation: evaluation.name)
def test_every_evaluation_was_made_by_the_command_that_the_page_names(evaluation: Evaluation) -> None:
    assert evaluation.report().command.startswith(f"semlink {' '.join(evaluation.command)} --json")
