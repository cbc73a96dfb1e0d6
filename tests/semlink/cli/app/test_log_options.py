"""`semlink` as a process: options of its log, before and after the command."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.processes import Run

pytestmark = pytest.mark.process


class TestLogOptions:
    WARNING = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 WARNING first\\nsecond \[bold\]\n"

    @pytest.mark.parametrize(
        ("arguments", "lines"),
        [
            (["group", "one"], ["first"]),
            (["-v", "group", "one"], ["chose", "first"]),
            (["group", "one", "-v"], ["chose", "first"]),
            (["group", "one", "-vv"], ["chose", "chatter", "first"]),
            (["-v", "group", "one", "--verbose"], ["chose", "chatter", "first"]),
            (["-q", "group", "one"], []),
            (["group", "one", "--quiet"], []),
            (["-v", "group", "one", "-q"], []),
        ],
    )
    def test_before_and_after_the_command(self, run: Run, arguments: list[str], lines: list[str]) -> None:
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (0, "one\n")
        shown = result.stderr.splitlines()
        assert len(shown) == len(lines), shown
        assert all(expected in line for line, expected in zip(shown, lines, strict=True))

    def test_line_has_time_and_level(self, run: Run) -> None:
        assert re.fullmatch(self.WARNING, run("group", "one").stderr)

    @pytest.mark.parametrize(
        "arguments", [["--log-format", "json", "group", "one"], ["group", "one", "--log-format=json"]]
    )
    def test_json(self, run: Run, arguments: list[str]) -> None:
        event = json.loads(run(*arguments).stderr)
        assert event.pop("time")[:2] == "20"
        assert event == {"level": "WARNING", "logger": "semlink", "message": "first\nsecond [bold]"}

    def test_error_is_a_json_line_too(self, run: Run) -> None:
        result = run("fails", "--kind", "transport", "--log-format", "json")
        event = json.loads(result.stderr)
        assert (result.returncode, event["level"], event["message"]) == (7, "ERROR", "nobody there")
        assert event["fields"] == {"exit_code": 7}

    def test_usage_error_is_a_json_line_too(self, run: Run) -> None:
        event = json.loads(run("--log-format", "json", "fails", "--nope").stderr)
        assert event["message"].startswith("no such option: --nope")
