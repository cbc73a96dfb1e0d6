"""Results on disk: an SQLite table, and the same results as JSON lines, which `tail` can follow.

The table decides. A result's row is committed first; then its line is appended by one write. A process that is killed
at any moment leaves at most a row without its line, or a line without its end, and opening the folder again completes
the lines from the table. A power cut may remove the table's last commits and keep their lines; then the rows are
completed from the lines.
"""

from __future__ import annotations

import mmap
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec

from edge_rx.match import Match, MatchFields
from semlink.closing import Closing
from semlink.errors import ResultsError
from semlink.files import try_lock

__all__ = ["LINES_FILE", "TABLE_FILE", "Result", "ResultsLog", "read_results"]

LINES_FILE = "results.jsonl"
TABLE_FILE = "results.sqlite"


class Result(MatchFields, frozen=True):
    """One line of results.jsonl and one row of the table `results`; see `edge_rx.match.MatchFields`.

    Attributes
    ----------
    result_id : 1, 2, 3 ... in the order of writing
    stream_id : of the frame, 16 hex digits
    sequence : of the frame, in its stream
    stage_ms : in the table, as JSON
    """

    result_id: int
    stream_id: str
    sequence: int


_COLUMNS = Result.__struct_fields__
_CREATE = """
    CREATE TABLE IF NOT EXISTS results (
        result_id INTEGER PRIMARY KEY,
        stream_id TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        entry_id INTEGER NOT NULL,
        label TEXT NOT NULL,
        source TEXT NOT NULL,
        image_sha256 TEXT NOT NULL,
        codec TEXT NOT NULL,
        score REAL NOT NULL,
        accepted INTEGER NOT NULL,
        capture_time_ns INTEGER NOT NULL,
        matched_time_ns INTEGER NOT NULL,
        latency_ms REAL NOT NULL,
        stage_ms TEXT NOT NULL,
        num_symbols INTEGER NOT NULL,
        num_pilots INTEGER NOT NULL,
        payload_cbr REAL,
        total_cbr REAL,
        knowledge_base TEXT,
        confidence REAL,
        UNIQUE (stream_id, sequence)
    )
"""
_ADDED_SINCE = {"knowledge_base": "TEXT", "confidence": "REAL"}
"""Columns that tables of earlier versions lack, with their types; their rows have none of these values."""
_INSERT = (
    f"INSERT INTO results ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
    " ON CONFLICT DO NOTHING"
)
_SELECT_AFTER = f"SELECT {', '.join(_COLUMNS)} FROM results WHERE result_id > ? ORDER BY result_id"  # noqa: S608


class ResultsLog(Closing):
    """Writes the results of one receiver into a folder.

    Parameters
    ----------
    folder : made if it is not there; what an earlier run wrote there is mended and continued

    Raises
    ------
    ResultsError
        If the folder cannot be written, another process writes there, or a file in it is damaged
        or none of ours.
    """

    def __init__(self, folder: Path) -> None:
        self.lines_path = folder / LINES_FILE
        self.table_path = folder / TABLE_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as undo:
                self._lines = os.open(self.lines_path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
                undo.callback(os.close, self._lines)
                self._lock()
                # Autocommit: every statement is its own transaction. A kill costs a WAL nothing, and
                # without a sync at each commit a result costs microseconds instead of milliseconds.
                self._table = sqlite3.connect(self.table_path, isolation_level=None)
                undo.callback(self._table.close)
                self._table.execute("PRAGMA journal_mode = WAL")
                self._table.execute("PRAGMA synchronous = NORMAL")
                self._table.execute(_CREATE)
                self._add_columns()
                self._last_id = self._mend()
                undo.pop_all()
        except (sqlite3.Error, OSError) as error:
            raise ResultsError(f"{folder}: results cannot be written there: {_why(error)}") from None
        self.num_written = 0

    def write(self, match: Match) -> bool:
        """Write one result; when this returns, a kill of the process no longer loses it.

        Returns
        -------
        is_new : False if the folder already has a result for this frame, which stays as it is

        Raises
        ------
        ResultsError
            If the disk is full or fails; the message says what is safe.
        """
        result = _result_of(match, self._last_id + 1)
        try:
            if not self._table.execute(_INSERT, _row(result)).rowcount:
                return False
            self._last_id = result.result_id
            self._append(result)
        except (sqlite3.Error, OSError) as error:
            raise ResultsError(
                f"{self.lines_path.parent}: frame {match.frame_id}: {_why(error)}; the {self.num_written} results"
                " written before it are safe; make room and start again with the same folder"
            ) from None
        self.num_written += 1
        return True

    def close(self) -> None:
        """Close both files."""
        self._table.close()
        os.close(self._lines)

    def _lock(self) -> None:
        if not try_lock(self._lines):
            raise ResultsError(f"{self.lines_path.parent}: another receiver writes there; give another folder")

    def _add_columns(self) -> None:
        held = {name for _, name, *_ in self._table.execute("PRAGMA table_info(results)")}
        for name, kind in _ADDED_SINCE.items():
            if name not in held:
                self._table.execute(f"ALTER TABLE results ADD COLUMN {name} {kind}")

    def _append(self, result: Result) -> None:
        data = msgspec.json.encode(result) + b"\n"
        while data:
            # A disk that fills takes a part, and gives the error to the next write.
            data = data[os.write(self._lines, data) :]

    def _mend(self) -> int:
        """Make lines and rows agree; give the last result's id, 0 if there is none."""
        end, last_line_id = _whole_lines(self._lines, self.lines_path)
        if end < os.fstat(self._lines).st_size:
            os.ftruncate(self._lines, end)
        last_row_id: int = self._table.execute("SELECT COALESCE(MAX(result_id), 0) FROM results").fetchone()[0]
        if last_row_id < last_line_id:
            lines = _read_lines(self.lines_path)
            self._table.executemany(_INSERT, (_row(result) for result in lines if result.result_id > last_row_id))
        for row in self._table.execute(_SELECT_AFTER, (last_line_id,)):
            self._append(_result_of_row(row))
        return max(last_row_id, last_line_id)


def read_results(folder: Path) -> list[Result]:
    """Read the JSON lines of a receiver that has ended, or of one that still runs.

    Raises
    ------
    ResultsError
        If the file is missing or a whole line of it is no result.
    """
    return list(_read_lines(folder / LINES_FILE))


def _read_lines(path: Path) -> Iterator[Result]:
    try:
        with path.open("rb") as lines:
            # A last line without its end is one that is being written.
            yield from (msgspec.json.decode(line, type=Result) for line in lines if line.endswith(b"\n"))
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ResultsError(f"{path}: holds a line that is no result: {error}") from None


def _whole_lines(descriptor: int, path: Path) -> tuple[int, int]:
    """Offset behind the last whole line, and that line's result id; 0 and 0 if there is none."""
    if not os.fstat(descriptor).st_size:
        return 0, 0
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as lines:
        end = lines.rfind(b"\n") + 1
        if not end:
            return 0, 0
        last_line = lines[lines.rfind(b"\n", 0, end - 1) + 1 : end]
    try:
        return end, msgspec.json.decode(last_line, type=Result).result_id
    except msgspec.MsgspecError as error:
        # Not torn, since it has its end: whatever it is, it is not ours to cut.
        raise ResultsError(f"{path}: the last line is no result ({error}); move the file away") from None


def _result_of(match: Match, result_id: int) -> Result:
    fields = msgspec.structs.asdict(match)
    frame_id = fields.pop("frame_id")
    return Result(result_id, f"{frame_id.stream_id:016x}", frame_id.sequence, **fields)


def _row(result: Result) -> tuple[object, ...]:
    stage_ms = msgspec.json.encode(result.stage_ms).decode()
    return tuple(stage_ms if name == "stage_ms" else getattr(result, name) for name in _COLUMNS)


def _result_of_row(row: tuple[object, ...]) -> Result:
    fields = dict(zip(_COLUMNS, row, strict=True))
    fields["stage_ms"] = msgspec.json.decode(str(fields["stage_ms"]))
    # SQLite has no type for truth: 0 and 1 stand for it.
    return msgspec.convert(fields, type=Result, strict=False)


def _why(error: Exception) -> str:
    """Give the reason without Python's "[Errno 28]" around it."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
