"""Results on disk survive kills, torn lines and full disks."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest

from edge_rx.match import Match
from edge_rx.results import LINES_FILE, TABLE_FILE, Result, ResultsLog, read_results
from semlink.errors import ResultsError
from semlink.frame import FrameId
from tests.support.processes import start_python

WRITER = """
import sys
from pathlib import Path
from edge_rx.match import Match
from edge_rx.results import ResultsLog
from semlink.frame import FrameId

folder, stream_id = Path(sys.argv[1]), int(sys.argv[2])
with ResultsLog(folder) as log:
    for sequence in range(1_000_000):
        match = Match(FrameId(stream_id, sequence), entry_id=3, label="cat", source="cat/1.png", image_sha256="ab" * 32,
                      codec="nested", score=0.5, accepted=True, capture_time_ns=1, matched_time_ns=2, latency_ms=1e-6,
                      stage_ms={"unpack": 0.1}, num_symbols=64, num_pilots=0, payload_cbr=None, total_cbr=None)
        assert log.write(match)
        print(sequence, flush=True)
"""


def make_match(sequence: int, stream_id: int = 2**64 - 1, label: str = 'naïve "cat"\n') -> Match:
    return Match(
        frame_id=FrameId(stream_id, sequence),
        knowledge_base="cd" * 32,
        entry_id=3,
        label=label,
        source="cat/1.png",
        image_sha256="ab" * 32,
        codec="nested",
        score=0.1 + 0.2,
        confidence=0.7 + 0.1,
        accepted=sequence % 2 == 0,
        capture_time_ns=1_700_000_000_123_456_789,
        matched_time_ns=1_700_000_000_124_456_789,
        latency_ms=1.0,
        stage_ms={"unpack": 0.1, "search": 0.25},
        num_symbols=64,
        num_pilots=2,
        payload_cbr=1 / 48,
        total_cbr=None,
    )


def rows(folder: Path) -> list[tuple[int, str, int]]:
    with closing(sqlite3.connect(folder / TABLE_FILE)) as table:
        assert table.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return table.execute("SELECT result_id, stream_id, sequence FROM results ORDER BY result_id").fetchall()


def lines(folder: Path) -> list[tuple[int, str, int]]:
    assert (folder / LINES_FILE).read_bytes().endswith(b"\n")
    return [(result.result_id, result.stream_id, result.sequence) for result in read_results(folder)]


def write_all(log: ResultsLog, sequences: Iterable[int]) -> None:
    for sequence in sequences:
        assert log.write(make_match(sequence))


def write(folder: Path, *sequences: int) -> None:
    with ResultsLog(folder) as log:
        write_all(log, sequences)


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, 0)
    match = make_match(0)
    assert read_results(tmp_path) == [
        Result(
            result_id=1,
            stream_id="f" * 16,
            sequence=0,
            **{name: getattr(match, name) for name in Result.__struct_fields__[3:]},
        )
    ]
    assert rows(tmp_path) == lines(tmp_path)


def test_a_frame_has_one_result(tmp_path: Path) -> None:
    with ResultsLog(tmp_path) as log:
        assert log.write(make_match(0))
        assert not log.write(make_match(0, label="dog"))
        assert log.write(make_match(0, stream_id=5))
        assert log.num_written == 2
    assert rows(tmp_path) == lines(tmp_path) == [(1, "f" * 16, 0), (2, f"{5:016x}", 0)]


def test_results_of_a_version_without_the_knowledge_base_are_continued(tmp_path: Path) -> None:
    write(tmp_path, 0)
    name = "knowledge_base"
    lines_path = tmp_path / LINES_FILE
    before = {key: value for key, value in json.loads(lines_path.read_text()).items() if key != name}
    lines_path.write_text(json.dumps(before) + "\n")
    with closing(sqlite3.connect(tmp_path / TABLE_FILE)) as table:
        table.execute(f"ALTER TABLE results DROP COLUMN {name}")
    write(tmp_path, 1)
    expected = [None, make_match(1).knowledge_base]
    assert [result.knowledge_base for result in read_results(tmp_path)] == expected
    with closing(sqlite3.connect(tmp_path / TABLE_FILE)) as table:
        assert [value for (value,) in table.execute(f"SELECT {name} FROM results ORDER BY result_id")] == expected


def test_a_second_run_continues(tmp_path: Path) -> None:
    write(tmp_path, 0, 1)
    write(tmp_path, 2)
    assert [result_id for result_id, _, _ in lines(tmp_path)] == [1, 2, 3]


def test_two_receivers_cannot_share_a_folder(tmp_path: Path) -> None:
    with ResultsLog(tmp_path), pytest.raises(ResultsError, match="another receiver writes there"):
        ResultsLog(tmp_path)


def _tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _tear_first(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:30])


@pytest.mark.parametrize("damage", [_tear, _tear_first, Path.unlink, lambda path: path.write_bytes(b"")])
def test_torn_and_missing_lines_are_mended_from_the_table(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    write(tmp_path, 0, 1, 2)
    whole = (tmp_path / LINES_FILE).read_bytes()
    damage(tmp_path / LINES_FILE)
    with ResultsLog(tmp_path):
        assert (tmp_path / LINES_FILE).read_bytes() == whole, "byte for byte, before anything new is written"
    write(tmp_path, 3)
    assert rows(tmp_path) == lines(tmp_path)
    assert len(rows(tmp_path)) == 4


def test_rows_that_a_power_cut_took_are_mended_from_the_lines(tmp_path: Path) -> None:
    write(tmp_path, 0, 1, 2)
    with closing(sqlite3.connect(tmp_path / TABLE_FILE)) as table:
        table.execute("DELETE FROM results WHERE result_id > 1")
        table.commit()
    write(tmp_path, 3)
    assert rows(tmp_path) == lines(tmp_path)
    assert len(rows(tmp_path)) == 4


def test_a_file_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / LINES_FILE).write_text('{"something": "else"}\n')
    with pytest.raises(ResultsError, match=r"the last line is no result .*; move the file away"):
        ResultsLog(tmp_path)
    assert (tmp_path / LINES_FILE).read_text() == '{"something": "else"}\n'


def test_a_table_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / TABLE_FILE).write_text("precious " * 1000)
    with pytest.raises(ResultsError, match="results cannot be written there: file is not a database"):
        ResultsLog(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="results cannot be written there"):
        ResultsLog(tmp_path / "file" / "results")


def test_reading_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"results\.jsonl: No such file"):
        read_results(tmp_path)


@pytest.mark.process
def test_a_kill_loses_nothing_acknowledged_and_corrupts_nothing(tmp_path: Path) -> None:
    num_kills = 4
    rng = random.Random(0)
    acknowledged: list[tuple[str, int]] = []
    for stream_id in range(num_kills):
        with start_python("-c", WRITER, tmp_path, stream_id) as writer:
            assert writer.stdout is not None
            said = [writer.stdout.readline() for _ in range(rng.randint(1, 400))]
            writer.send_signal(signal.SIGKILL)
            # What the pipe still holds was acknowledged before the kill.
            said += writer.stdout.readlines()
            writer.wait()
        acknowledged += [(f"{stream_id:016x}", int(line)) for line in said]

    ResultsLog(tmp_path).close()

    assert rows(tmp_path) == lines(tmp_path)
    assert set(acknowledged) <= {(stream_id, sequence) for _, stream_id, sequence in rows(tmp_path)}
    assert len(rows(tmp_path)) <= len(acknowledged) + num_kills, "at most one result a kill was not yet acknowledged"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_full_for_the_lines(tmp_path: Path) -> None:
    (tmp_path / LINES_FILE).symlink_to("/dev/full")
    with ResultsLog(tmp_path) as log, pytest.raises(ResultsError) as caught:
        log.write(make_match(7))
    assert f"frame {'f' * 16}-7: {os.strerror(errno.ENOSPC)}; the 0 results written before it are safe" in str(
        caught.value
    )
    (tmp_path / LINES_FILE).unlink()
    write(tmp_path, 8)
    assert rows(tmp_path) == lines(tmp_path) == [(1, "f" * 16, 7), (2, "f" * 16, 8)], (
        "the row was safe; its line follows"
    )


def test_a_disk_that_fills_within_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write, budget = os.write, 1500

    def nearly_full(descriptor: int, data: bytes) -> int:
        nonlocal budget
        if not budget:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real_write(descriptor, data[:budget])
        budget -= written
        return written

    with ResultsLog(tmp_path) as log, monkeypatch.context() as patched:
        patched.setattr(os, "write", nearly_full)
        with pytest.raises(ResultsError, match="No space left on device"):
            write_all(log, range(10))
        num_written = log.num_written
    assert 0 < num_written < 10
    assert not (tmp_path / LINES_FILE).read_bytes().endswith(b"\n")
    write(tmp_path, 10)
    assert rows(tmp_path) == lines(tmp_path)
    assert [sequence for _, _, sequence in lines(tmp_path)] == [*range(num_written + 1), 10]


def test_a_disk_full_for_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def connect_to_a_small_one(path: Path, *, isolation_level: None) -> sqlite3.Connection:
        table = connect(path, isolation_level=isolation_level)
        table.execute("PRAGMA max_page_count = 12")
        return table

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect_to_a_small_one)
        log = ResultsLog(tmp_path)
    with log:
        with pytest.raises(
            ResultsError, match=r"database or disk is full; the [1-9]\d* results written before it are safe"
        ):
            write_all(log, range(10_000))
        num_written = log.num_written
    assert rows(tmp_path) == lines(tmp_path)
    assert len(rows(tmp_path)) == num_written
    write(tmp_path, 20_000)
    assert len(rows(tmp_path)) == len(lines(tmp_path)) == num_written + 1
