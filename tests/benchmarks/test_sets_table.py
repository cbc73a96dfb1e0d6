"""The README's table is that of the committed reports."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("scipy", reason="needs semlink[train]")

from benchmarks.sets_table import confidence_table, labels_table, sets_table

ROOT = Path(__file__).parents[2]


def test_the_readme_has_the_table_of_the_committed_reports() -> None:
    table = sets_table(ROOT)
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")
    rows = table.splitlines()[2:]
    assert len(rows) >= 6
    assert all(row.count(" / ") == 12 for row in rows), "six codecs at three SNRs"


def test_every_codec_has_a_figure_for_every_set() -> None:
    for table in (labels_table(ROOT), confidence_table(ROOT)):
        assert len(table.splitlines()) >= 8
        assert "nan" not in table
