"""A page of reports as data; `benchmarks.report.render` writes it as Markdown or HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

__all__ = ["Chart", "Page", "Section", "Table", "milliseconds", "number"]

Draw: TypeAlias = Callable[[Path], None]


@dataclass(frozen=True)
class Chart:
    """A figure that is drawn only if the page's format has room for one.

    Parameters
    ----------
    title : text in place of the figure
    draw : writes it to an SVG file
    """

    title: str
    draw: Draw


@dataclass(frozen=True)
class Table:
    """Cells as text, every row as long as `headers`.

    Parameters
    ----------
    text_columns : headers of columns that are set to the left; the others hold numbers
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: frozenset[str] = frozenset()

    @classmethod
    def of(cls, headers: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: Sequence[str] = ()) -> Table:
        """Make a table without the columns that are empty in every row.

        Examples
        --------
        >>> Table.of(["stage", "p50", "max"], [["decode", "1.0", ""]]).headers
        ('stage', 'p50')
        """
        kept = [column for column in range(len(headers)) if any(row[column] for row in rows)]
        return cls(
            tuple(headers[column] for column in kept),
            tuple(tuple(row[column] for column in kept) for row in rows),
            frozenset(text_columns),
        )

    def is_number(self, column: int) -> bool:
        """Whether a column is set to the right."""
        return self.headers[column] not in self.text_columns


@dataclass(frozen=True)
class Section:
    """One report, or one comparison, from its verdict to how it was measured.

    Attributes
    ----------
    figures : single results, by name
    remarks : sentences on the tables
    facts : how the report was made, by name
    """

    title: str
    verdict: str = ""
    figures: tuple[tuple[str, str], ...] = ()
    chart: Chart | None = None
    tables: tuple[Table, ...] = ()
    remarks: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """What a renderer is given."""

    title: str
    sections: tuple[Section, ...]


def milliseconds(value: float | None) -> str:
    """Write a time in milliseconds with four significant places below 0.1; empty for None.

    Examples
    --------
    >>> milliseconds(12.3456), milliseconds(0.01234), milliseconds(None)
    ('12.346', '0.0123', '')
    """
    return "" if value is None else f"{value:.{3 if value >= 0.1 else 4}f}"


def number(value: float) -> str:
    """Write a count with thousands separated, any other number with four significant digits.

    Examples
    --------
    >>> number(100_000), number(0.00123456), number(True)
    ('100,000', '0.001235', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
