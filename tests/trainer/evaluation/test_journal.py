"""The journal of an unfinished evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("scipy", reason="needs semlink[train]")

from semlink.errors import ResultsError
from tests.support.reports import record
from trainer.evaluation.journal import Journal


def test_records_are_found_again_under_the_same_parts(tmp_path: Path) -> None:
    Journal(tmp_path, "grid", 1).add(record(0, 0.5))
    again, other = Journal(tmp_path, "grid", 1), Journal(tmp_path, "grid", 2)
    assert again.find(record(0, 0.5).cell) == record(0, 0.5)
    assert again.find(record(1, 0.5).cell) is None
    assert (again.num_records, other.num_records) == (1, 0)


def test_finished_journal_leaves_no_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "x")
    journal.add(record(0, 0.5))
    journal.finish()
    assert list(tmp_path.iterdir()) == []


def test_incomplete_last_line_is_dropped(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "x")
    journal.add(record(0, 0.5))
    with journal.path.open("ab") as file:
        file.write(b'{"codec":"nes')
    again = Journal(tmp_path, "x")
    again.add(record(1, 0.5))
    assert Journal(tmp_path, "x").num_records == 2


def test_damaged_journal_is_named(tmp_path: Path) -> None:
    Journal(tmp_path, "x").add(record(0, 0.5))
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"not json\n")
    with pytest.raises(ResultsError, match="damaged; remove it"):
        Journal(tmp_path, "x")


def test_journal_on_a_full_disk_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "x")
    journal.path.symlink_to("/dev/full")
    with pytest.raises(ResultsError, match="cannot be kept"):
        journal.add(record(0, 0.5))
