"""Former names: every row of the table, how words are rewritten, and what is said about it."""

from __future__ import annotations

import importlib.metadata
import logging
from typing import Any

import pytest
import typer.main

from semlink.cli import renamed
from semlink.cli.commands import ENTRY_POINT_GROUP
from semlink.cli.renamed import RENAMED_COMMANDS, RENAMED_OPTIONS, current_arguments, current_key

ROWS = [(path, was, now) for path, options in RENAMED_OPTIONS.items() for was, now in options.items()]


def command_at(path: tuple[str, ...]) -> Any:
    """A command as its package declares it; None if there is none."""
    (entry,) = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=path[0]) or (None,)
    command = typer.main.get_command(entry.load()) if entry is not None else None
    for name in path[1:]:
        command = getattr(command, "commands", {}).get(name)
    return command


@pytest.mark.parametrize(("was", "now"), RENAMED_COMMANDS.items(), ids=" ".join)
def test_command(was: tuple[str, ...], now: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    assert command_at(now) is not None
    assert len(was) == 1 or command_at(was) is None
    assert current_arguments([*was, "FOLDER", "--out", "x"]) == [*now, "FOLDER", "--out", "x"]
    assert caplog.messages == [f'"semlink {" ".join(was)}" is now "semlink {" ".join(now)}"']


@pytest.mark.parametrize(("path", "was", "now"), ROWS)
def test_option(path: tuple[str, ...], was: str, now: str, caplog: pytest.LogCaptureFixture) -> None:
    options = {name: parameter for parameter in command_at(path).params for name in parameter.opts}
    assert now in options
    assert was not in options or (was == "--json" and options[was].is_flag)
    assert current_arguments([*path, was, "VALUE", f"{was}=VALUE"]) == [*path, now, "VALUE", f"{now}=VALUE"]
    assert caplog.messages == [f"{was} is now {now}"] * 2
    assert current_key(path, was.removeprefix("--"), "VALUE") == now.removeprefix("--")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of one command and two options."""
    monkeypatch.setattr(renamed, "RENAMED_COMMANDS", {("kb", "rekey"): ("kb", "project")})
    monkeypatch.setattr(
        renamed,
        "RENAMED_OPTIONS",
        {("kb", "project"): {"--num-threads": "--threads"}, ("measure",): {"--json": "--out"}},
    )


@pytest.mark.usefixtures("table")
class TestWords:
    @pytest.mark.parametrize(
        ("words", "expected", "num_warnings"),
        [
            (["kb", "rekey", "--num-threads", "2"], ["kb", "project", "--threads", "2"], 2),
            (["kb", "project", "--num-threads=2"], ["kb", "project", "--threads=2"], 1),
            (["kb", "project", "--threads", "2"], ["kb", "project", "--threads", "2"], 0),
            (["kb", "project", "--", "--num-threads"], ["kb", "project", "--", "--num-threads"], 0),
            (["tx", "rekey", "--num-threads", "2"], ["tx", "rekey", "--num-threads", "2"], 0),
            (["kb"], ["kb"], 0),
            ([], [], 0),
            # A flag today, and once an option with a value.
            (["measure", "--json", "out.json"], ["measure", "--out", "out.json"], 1),
            (["measure", "--json=out.json"], ["measure", "--out=out.json"], 1),
            (["measure", "--json"], ["measure", "--json"], 0),
            (["measure", "--json", "--seed", "1"], ["measure", "--json", "--seed", "1"], 0),
        ],
    )
    def test_rewritten(
        self, words: list[str], expected: list[str], num_warnings: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert current_arguments(words) == expected
        assert len(caplog.records) == num_warnings
        assert all(record.levelno == logging.WARNING for record in caplog.records)

    def test_key_of_a_file(self, caplog: pytest.LogCaptureFixture) -> None:
        assert current_key(["kb", "project"], "num-threads", 2) == "threads"
        assert caplog.messages == ['the key "num-threads" is now "threads"']
        assert current_key(["kb", "project"], "threads", 2) == "threads"
        assert current_key(["tx"], "num-threads", 2) == "num-threads"
        assert current_key(["measure"], "json", True) == "json"
        assert current_key(["measure"], "json", "out.json") == "out"
        assert len(caplog.messages) == 2
