"""The page on upgrading names every command and option that was renamed, with its name of today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from semlink.cli.renamed import RENAMED_COMMANDS, RENAMED_OPTIONS, REPLACED_OPTIONS, CommandPath, RenamedCommand

PAGE = (Path(__file__).parents[2] / "docs" / "upgrade.md").read_text(encoding="utf-8")
ROWS = [tuple(map(str.strip, row)) for row in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \| ([^|]*)\|$", PAGE, re.MULTILINE)]
"""Former name, name of today, and the commands that have it."""


@pytest.mark.parametrize("row", RENAMED_COMMANDS)
def test_command(row: RenamedCommand) -> None:
    was, now = (f"semlink {' '.join(path)}" for path in (row.was, row.now))
    matches = [page_row for page_row in ROWS if was in page_row[0] and (row.option or "") in page_row[0]]
    assert any(now in page_row[1] for page_row in matches)


@pytest.mark.parametrize(
    ("path", "was", "now"),
    [(path, was, now) for path, options in RENAMED_OPTIONS.items() for was, now in options.items()],
)
def test_option(path: CommandPath, was: str, now: str) -> None:
    rows = [row for row in ROWS if re.match(rf"`{was}\b", row[0]) and f"`{now}" in row[1]]
    assert any(f"`{' '.join(path)}`" in row[2] for row in rows), f"{was} of {' '.join(path)}"


@pytest.mark.parametrize(
    ("path", "was", "now"),
    [(path, was, now) for path, options in REPLACED_OPTIONS.items() for was, now in options.items()],
)
def test_replaced_option(path: CommandPath, was: str, now: str) -> None:
    """In a sentence, not in the table of names that still work."""
    assert not any(was in row[0] for row in ROWS)
    sentences = [" ".join(each.split()) for each in re.split(r"\.\s", PAGE)]
    matches = [each for each in sentences if f"`{was}` is refused" in each]
    assert any(f"`{now.partition(',')[0]}`" in each for each in matches), f"{was} of {' '.join(path)}"
