"""Record of each entry, in an SQLite table; an entry's id is its row in the index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from typing_extensions import Self

from semlink.errors import KnowledgeBaseError

__all__ = ["Record", "RecordTable"]


@dataclass(frozen=True)
class Record:
    """One entry of a knowledge base.

    Attributes
    ----------
    entry_id : row in the index, from 0
    label : category, "" where none is known
    source : name of the picture where it came from, such as its path in the built folder
    image_sha256 : SHA-256 of the stored image file, in hex
    image_suffix : ending of the stored image file, such as ".jpg"
    width_px, height_px : size of the upright picture
    added_unix_s : when it was added [Unix s]
    """

    entry_id: int
    label: str
    source: str
    image_sha256: str
    image_suffix: str
    width_px: int
    height_px: int
    added_unix_s: float


_COLUMNS = ", ".join(field.name for field in fields(Record))
_CREATE = """
    CREATE TABLE entries (
        entry_id INTEGER PRIMARY KEY,
        label TEXT NOT NULL,
        source TEXT NOT NULL,
        image_sha256 TEXT NOT NULL,
        image_suffix TEXT NOT NULL,
        width_px INTEGER NOT NULL,
        height_px INTEGER NOT NULL,
        added_unix_s REAL NOT NULL
    );
    CREATE INDEX entries_by_label ON entries (label);
"""
_INSERT = f"INSERT INTO entries ({_COLUMNS}) VALUES ({', '.join('?' * len(fields(Record)))})"  # noqa: S608
_SELECT = f"SELECT {_COLUMNS} FROM entries"  # noqa: S608


class RecordTable:
    """The table of a knowledge base; `create` writes a new one, `open` reads one that exists."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make an empty table in a new file; nothing of it is there to stay until `commit`."""
        connection = sqlite3.connect(path)
        connection.executescript(_CREATE)
        return cls(connection)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a table for reading.

        Raises
        ------
        KnowledgeBaseError
            If the file is missing. Damage is found, and said, by the first reading of it.
        """
        if not path.is_file():
            raise KnowledgeBaseError(f"{path}: no such file; the knowledge base is incomplete, build it again")
        return cls(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True))

    def add(self, records: Iterable[Record]) -> None:
        """Append records."""
        self._connection.executemany(_INSERT, map(astuple, records))

    def commit(self) -> None:
        """Make what was added durable."""
        self._connection.commit()

    def get(self, entry_id: int) -> Record:
        """Look up one entry.

        Raises
        ------
        KnowledgeBaseError
            If there is none of that id, or the file is damaged.
        """
        row = next(self._rows(f"{_SELECT} WHERE entry_id = ?", entry_id), None)
        if row is None:
            raise KnowledgeBaseError(f"no entry {entry_id}; the knowledge base has {len(self)}, numbered from 0")
        return Record(*row)

    def labels(self) -> dict[str, int]:
        """Number of entries of each label, by label."""
        return dict(self._rows("SELECT label, COUNT(*) FROM entries GROUP BY label ORDER BY label"))

    def entry_labels(self) -> list[str]:
        """Label of each entry, by rising entry id."""
        return [label for (label,) in self._rows("SELECT label FROM entries ORDER BY entry_id")]

    def __len__(self) -> int:
        return int(next(self._rows("SELECT COUNT(*) FROM entries"))[0])

    def __iter__(self) -> Iterator[Record]:
        return (Record(*row) for row in self._rows(f"{_SELECT} ORDER BY entry_id"))

    def close(self) -> None:
        """Close the file; what was not committed is gone."""
        self._connection.close()

    def _rows(self, query: str, *values: object) -> Iterator[Any]:
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.DatabaseError as error:
            raise KnowledgeBaseError(f"the records are damaged, build the knowledge base again: {error}") from None
