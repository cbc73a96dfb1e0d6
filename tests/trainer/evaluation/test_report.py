"""Reports and their summary."""

from __future__ import annotations

import msgspec
import pytest

pytest.importorskip("scipy", reason="needs semlink[train]")

from tests.support.reports import record, report_of
from trainer.evaluation.report import summarize, summary_table


def test_report_holds_what_readers_need() -> None:
    report = report_of(record(0, 0.4), record(1, 0.5))
    loaded = msgspec.json.decode(msgspec.json.encode(report))
    assert {"noiseless_accuracy", "encoder", "dataset", "versions", "records"} <= loaded.keys()
    wanted = {"codec", "num_symbols", "snr_db", "channel", "seed", "semantic_accuracy", "recall_at_1", "mean_cosine"}
    assert wanted <= loaded["records"][0].keys()
    assert loaded["summary"][0]["semantic_accuracy"] == pytest.approx(0.45)
    assert summary_table(report).row_count == 1


def test_one_seed_has_no_interval() -> None:
    (cell,) = summarize([record(0, 0.4)])
    assert (cell.semantic_accuracy_low, cell.semantic_accuracy_high) == (None, None)


def test_records_and_summary_are_flat_dictionaries() -> None:
    report = report_of(record(0, 0.4), record(1, 0.5))
    rows, cells = report.records_as_dicts(), report.summary_as_dicts()
    assert [row["semantic_accuracy"] for row in rows] == [0.4, 0.5]
    assert [cell["num_seeds"] for cell in cells] == [2]
    for row in (*rows, *cells):
        assert all(isinstance(value, str | int | float | None) for value in row.values())
