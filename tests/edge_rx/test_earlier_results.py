"""Results that a version without confidences wrote are continued, whole or damaged."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge_rx.match import Match
from edge_rx.results import LINES_FILE, TABLE_FILE, ResultsLog, read_results
from semlink.frame import FrameId

ADDED_SINCE = ("knowledge_base", "confidence")
SCHEMA_SHA256 = "93c03e3bee73be45bafc403f240dc7d0780de91131bb59168772732c709c246f"
"""Of that version's CREATE TABLE, its words separated by single spaces."""
FIELDS = {
    "entry_id": 3,
    "label": "cat",
    "source": "cat/1.png",
    "image_sha256": "ab" * 32,
    "codec": "nested",
    "score": 0.5,
    "accepted": True,
    "capture_time_ns": 1,
    "matched_time_ns": 2,
    "latency_ms": 1e-6,
    "stage_ms": {"unpack": 0.1},
    "num_symbols": 64,
    "num_pilots": 0,
    "payload_cbr": None,
    "total_cbr": None,
}


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A folder of two results without confidences."""
    rows = [{"result_id": number, "stream_id": f"{9:016x}", "sequence": number - 1, **FIELDS} for number in (1, 2)]
    ResultsLog(tmp_path).close()
    (tmp_path / LINES_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with closing(sqlite3.connect(tmp_path / TABLE_FILE)) as table:
        for column in ADDED_SINCE:
            table.execute(f"ALTER TABLE results DROP COLUMN {column}")
        (schema,) = table.execute("SELECT sql FROM sqlite_master WHERE name = 'results'").fetchone()
        assert hashlib.sha256(" ".join(schema.split()).encode()).hexdigest() == SCHEMA_SHA256, schema
        for row in rows:
            values = {**row, "stage_ms": json.dumps(row["stage_ms"])}
            table.execute(f"INSERT INTO results VALUES ({', '.join('?' * len(values))})", [*values.values()])
        table.commit()
    return tmp_path


def write(folder: Path, sequence: int, confidence: float) -> bool:
    with ResultsLog(folder) as log:
        return log.write(Match(frame_id=FrameId(9, sequence), confidence=confidence, **FIELDS))


def rows(folder: Path) -> list[tuple[int, float | None]]:
    with closing(sqlite3.connect(folder / TABLE_FILE)) as table:
        assert table.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return table.execute("SELECT sequence, confidence FROM results ORDER BY result_id").fetchall()


def lines(folder: Path) -> list[tuple[int, float | None]]:
    return [(result.sequence, result.confidence) for result in read_results(folder)]


def test_they_are_read(earlier: Path) -> None:
    first, second = read_results(earlier)
    assert (first.score, first.accepted, first.label) == (0.5, True, "cat")
    assert first.confidence is second.confidence is None


def test_they_are_continued(earlier: Path) -> None:
    before = (earlier / LINES_FILE).read_bytes()
    assert not write(earlier, 1, 0.25), "the frame has a result"
    assert (earlier / LINES_FILE).read_bytes() == before
    assert write(earlier, 2, 0.75)
    assert write(earlier, 3, 0.25)
    assert rows(earlier) == lines(earlier) == [(0, None), (1, None), (2, 0.75), (3, 0.25)]
    assert (earlier / LINES_FILE).read_bytes().startswith(before)


def _lose_lines(folder: Path) -> None:
    (folder / LINES_FILE).unlink()


def _tear_last_line(folder: Path) -> None:
    path = folder / LINES_FILE
    path.write_bytes(path.read_bytes()[:-20])


def _lose_last_row(folder: Path) -> None:
    with closing(sqlite3.connect(folder / TABLE_FILE)) as table:
        table.execute("DELETE FROM results WHERE result_id = 2")
        table.commit()


def _lose_table(folder: Path) -> None:
    for path in folder.glob(f"{TABLE_FILE}*"):
        path.unlink()


@pytest.mark.parametrize("damage", [_lose_lines, _tear_last_line, _lose_last_row, _lose_table])
def test_they_are_mended(earlier: Path, damage: Callable[[Path], None]) -> None:
    damage(earlier)
    assert write(earlier, 2, 0.75)
    assert rows(earlier) == lines(earlier) == [(0, None), (1, None), (2, 0.75)]


def test_they_are_mended_after_they_were_continued(earlier: Path) -> None:
    write(earlier, 2, 0.75)
    (earlier / LINES_FILE).unlink()
    ResultsLog(earlier).close()
    assert rows(earlier) == lines(earlier) == [(0, None), (1, None), (2, 0.75)]
