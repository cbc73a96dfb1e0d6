"""Former names: every row of the table, how words are rewritten, and what is said about it."""

from __future__ import annotations

import importlib.metadata
import logging
from typing import Any

import pytest
import typer.main

from semlink.cli.commands import ENTRY_POINT_GROUP
from semlink.cli.renamed import (
    RENAMED_COMMANDS,
    RENAMED_OPTIONS,
    REPLACED_OPTIONS,
    RenamedCommand,
    current_arguments,
    current_key,
)
from semlink.errors import ConfigError

ROWS = [(path, was, now) for path, options in RENAMED_OPTIONS.items() for was, now in options.items()]
COMMANDS: dict[tuple[str, ...], set[str]] = {
    ("bench", "show"): set(),
    ("bench", "compare"): set(),
    ("kb", "project"): {"--threads"},
    ("kb", "build"): {"--num-threads"},
    ("evaluate",): {"--json", "--out", "--limit"},
}
"""Options of commands as an imagined version has them; one still has the name that it had."""


def declared(path: tuple[str, ...]) -> dict[str, Any] | None:
    """Options of a command as its package declares it, by name."""
    entries = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=path[0])
    command = typer.main.get_command(next(iter(entries)).load()) if entries else None
    for name in path[1:]:
        command = getattr(command, "commands", {}).get(name)
    return None if command is None else {name: parameter for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize("row", RENAMED_COMMANDS)
def test_command(row: RenamedCommand, caplog: pytest.LogCaptureFixture) -> None:
    assert declared(row.was) is None
    options, last = ([row.option, "x"], ["x"]) if row.option else ([], [])
    assert current_arguments([*row.was, *options, "FOLDER"], declared) == [*row.now, "FOLDER", *last]
    assert caplog.messages == [f'"semlink {" ".join(row.was)}" is now "semlink {" ".join(row.now)}"']


@pytest.mark.parametrize(("path", "was", "now"), ROWS)
def test_option(path: tuple[str, ...], was: str, now: str, caplog: pytest.LogCaptureFixture) -> None:
    options = declared(path)
    assert options is not None
    assert now in options
    assert was not in options or (was == "--json" and options[was].is_flag)
    assert current_arguments([*path, was, "VALUE", f"{was}=VALUE"], declared) == [*path, now, "VALUE", f"{now}=VALUE"]
    assert caplog.messages == [f"{was} is now {now}"] * 2
    keys = {option.removeprefix("--") for option in options}
    assert current_key(path, was.removeprefix("--"), "VALUE", keys) == now.removeprefix("--")


@pytest.mark.parametrize(
    ("path", "was", "now"),
    [(path, was, now) for path, options in REPLACED_OPTIONS.items() for was, now in options.items()],
)
def test_replaced_option_is_refused_by_name(path: tuple[str, ...], was: str, now: str) -> None:
    options = declared(path)
    assert options is not None
    assert was not in options
    assert now.partition(",")[0] in options
    for words in ([was, "0.5"], [f"{was}=0.5"], ["--limit", "1", was, "0.5"]):
        with pytest.raises(ConfigError, match=f"^{was} is no option any more; give {now}"):
            current_arguments([*path, *words], declared)
    assert current_arguments([*path, "--", was], declared) == [*path, "--", was]
    assert current_arguments(["gone", was], declared) == ["gone", was]
    assert current_arguments([*path, was, "0.5"], {path: {was}}.get) == [*path, was, "0.5"]
    key = was.removeprefix("--")
    with pytest.raises(ConfigError, match=f'^the key "{key}" is no option any more; give {now[2:]}'):
        current_key(path, key, 0.5, {"min-confidence"})
    assert current_key(path, key, 0.5, {key}) == key


@pytest.mark.parametrize(
    ("words", "expected", "num_warnings"),
    [
        ("kb rekey --num-threads 2", "kb project --threads 2", 2),
        ("kb project --num-threads=2", "kb project --threads=2", 1),
        ("kb project --threads 2", "kb project --threads 2", 0),
        ("kb project -- --num-threads", "kb project -- --num-threads", 0),
        ("bench-report a.json", "bench show a.json", 1),
        ("bench-report a.json --against b.json", "bench compare a.json b.json", 1),
        ("bench-report --against=b.json --out c.html a.json", "bench compare --out c.html a.json b.json", 1),
        ("bench-report a.json --against", "bench compare a.json", 1),
        ("gone rekey --num-threads 2", "gone rekey --num-threads 2", 0),
        ("kb", "kb", 0),
        ("", "", 0),
        # Commands that declare the name, or lack the one of today.
        ("kb build --num-threads 2", "kb build --num-threads 2", 0),
        ("kb export-keys KB", "kb export-keys KB", 0),
        ("evaluate --seeds 3", "evaluate --seeds 3", 0),
        # A flag today, and once an option with a value.
        ("evaluate --json out.json", "evaluate --out out.json", 1),
        ("evaluate --json=out.json", "evaluate --out=out.json", 1),
        ("evaluate --json", "evaluate --json", 0),
        ("evaluate --json --limit 1", "evaluate --json --limit 1", 0),
    ],
)
def test_words(words: str, expected: str, num_warnings: int, caplog: pytest.LogCaptureFixture) -> None:
    assert current_arguments(words.split(), COMMANDS.get) == expected.split()
    assert len(caplog.records) == num_warnings
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_keys_of_a_file(caplog: pytest.LogCaptureFixture) -> None:
    project, evaluate = ["kb", "project"], ["evaluate"]
    assert current_key(project, "num-threads", 2, {"threads"}) == "threads"
    assert caplog.messages == ['the key "num-threads" is now "threads"']
    assert current_key(project, "threads", 2, {"threads"}) == "threads"
    assert current_key(project, "num-threads", 2, {"num-threads"}) == "num-threads"
    assert current_key(project, "num-threads", 2, {"other"}) == "num-threads"
    assert current_key(["gone"], "num-threads", 2, {"threads"}) == "num-threads"
    assert current_key(evaluate, "json", True, {"json", "out"}) == "json"
    assert current_key(evaluate, "json", "out.json", {"json", "out"}) == "out"
    assert len(caplog.messages) == 2
