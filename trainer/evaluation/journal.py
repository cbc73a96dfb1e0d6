"""Records of an unfinished evaluation on disk, so that an interrupted evaluation continues."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import msgspec

from semlink.errors import ResultsError
from trainer.evaluation.record import Cell, Record

__all__ = ["Journal"]


class Journal:
    """Records by cell, appended as they are measured, and removed when all of them are in the report.

    A finished evaluation leaves no journal, so that the next one measures every cell.

    Parameters
    ----------
    folder : folder of the journals
    *parts : everything that the records depend on; other values give another journal
    """

    def __init__(self, folder: Path, *parts: object) -> None:
        digest = hashlib.sha256(msgspec.json.encode([str(part) for part in parts])).hexdigest()[:16]
        self.path = folder / f"{digest}.jsonl"
        self._records: dict[Cell, Record] = {}
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        except OSError as error:
            raise ResultsError(f"{folder}: the evaluation cannot be kept: {error.strerror}") from None
        # The last line is incomplete if the process was killed; its cell is measured again.
        whole = [line for line in lines if line.endswith(b"\n")]
        if len(whole) < len(lines):
            self.path.write_bytes(b"".join(whole))
        for line in whole:
            self._keep(self._decoded(line))

    @property
    def num_records(self) -> int:
        """Number of measured cells."""
        return len(self._records)

    def find(self, cell: Cell) -> Record | None:
        """Record of a cell; None if it is not measured."""
        return self._records.get(cell)

    def add(self, record: Record) -> None:
        """Append a record; it is on the medium when this returns.

        Raises
        ------
        ResultsError
            If it cannot be written.
        """
        with self._lock:  # links are measured side by side
            try:
                with self.path.open("ab") as file:
                    file.write(msgspec.json.encode(record) + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise ResultsError(f"{self.path}: the evaluation cannot be kept: {error.strerror}") from None
            self._keep(record)

    def finish(self) -> None:
        """Remove the journal."""
        self.path.unlink(missing_ok=True)

    def _keep(self, record: Record) -> None:
        self._records[record.cell] = record

    def _decoded(self, line: bytes) -> Record:
        try:
            return msgspec.json.decode(line, type=Record)
        except msgspec.MsgspecError as error:
            raise ResultsError(f"{self.path}: damaged; remove it to measure its cells again: {error}") from None
