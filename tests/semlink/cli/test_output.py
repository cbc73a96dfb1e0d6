"""What a command announces: on a terminal, off it, and as JSON."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.table import Table

from semlink.cli.logs import LogFormat, configure_logging
from semlink.cli.output import notify, stderr_console, stdout_console
from semlink.cli.summary import print_counts, print_latency
from semlink.timing import summarize_latency

LONG = "/results/" + "x" * 300
STAGES = {"unpack": summarize_latency([1.0, 2.0, 3.0])}


def test_nothing_wraps_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("path", "fix")
    table.add_row(LONG, "pip install '.[train]'")
    stdout_console().print(table)
    stdout_console().print(f"kept in {LONG}")
    stderr_console().print(f"kept in {LONG}")
    shown = capsys.readouterr()
    assert shown.out.count(LONG) == 2
    assert LONG in shown.err


def test_notice_is_a_line_with_time_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    notify(stderr_console(), f"listening on {LONG} [red]")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f" INFO listening on {LONG} [red]")


def test_notice_before_logging_is_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    notify(stderr_console(), f"listening on {LONG} [red]")
    assert capsys.readouterr().err == f"listening on {LONG} [red]\n"


def test_notice_on_a_terminal_is_plain() -> None:
    drawn = io.StringIO()
    configure_logging()
    notify(Console(file=drawn, force_terminal=True, color_system=None), "listening [red]")
    assert drawn.getvalue() == "listening [red]\n"


def test_summary_off_a_terminal_is_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    print_counts("Channel", {"frames forwarded": 3, "rejected: not a frame": 1}, console=stderr_console())
    print_latency("Channel stages", STAGES, console=stderr_console())
    print_latency("Nothing timed", {}, console=stderr_console())
    counts, stages = capsys.readouterr().err.splitlines()
    assert counts.endswith("Channel: frames forwarded 3, rejected: not a frame 1")
    assert stages.endswith("Channel stages, p50 p95 p99 in ms: unpack 2.000 2.900 2.980")


def test_summary_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(log_format=LogFormat.JSON)
    print_counts("Channel", {"frames forwarded": 3}, console=stderr_console())
    print_latency("Channel stages", STAGES, console=stderr_console())
    counts, stages = map(json.loads, capsys.readouterr().err.splitlines())
    assert counts["fields"] == {"frames forwarded": 3}
    assert stages["fields"]["stage_latency_ms"]["unpack"]["p50"] == 2.0


def test_summary_as_a_result_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(quiet=True)
    print_counts("Beside fp32", {"cosine": "[0.99]"}, console=stdout_console())
    print_latency("Stages", STAGES, console=stdout_console())
    shown = capsys.readouterr()
    assert (shown.err, "Beside fp32" in shown.out, "[0.99]" in shown.out, "2.980" in shown.out) == ("", *(True,) * 3)


def test_quiet_shows_neither_notice_nor_summary(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(quiet=True)
    drawn = io.StringIO()
    terminal = Console(file=drawn, force_terminal=True, stderr=True)
    for console in (stderr_console(), terminal):
        notify(console, "listening")
        print_counts("Channel", {"frames": 3}, console=console)
        print_latency("Stages", STAGES, console=console)
    assert (capsys.readouterr().err, drawn.getvalue()) == ("", "")


def test_a_table_for_a_reader_that_went_away_raises_what_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich would exit with 1."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())
    with pytest.raises(BrokenPipeError):
        stdout_console().print("a table")
