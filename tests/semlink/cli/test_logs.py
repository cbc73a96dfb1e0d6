"""Which records reach stderr, and as what."""

from __future__ import annotations

import json
import logging
import re
import warnings

import pytest

from semlink.cli.logs import NOTICES, PROGRESS, LogFormat, configure_logging, is_configured, is_json, is_quiet

EVENTS = [
    ("edge_rx.service", logging.DEBUG, "own detail"),
    ("edge_rx.service", logging.INFO, "own choice"),
    ("edge_rx.service", logging.WARNING, "own warning"),
    ("edge_rx.service", logging.ERROR, "own error"),
    ("PIL.Image", logging.DEBUG, "library's detail"),
    ("PIL.Image", logging.INFO, "library's chatter"),
    ("PIL.Image", logging.WARNING, "library's warning"),
    (NOTICES, logging.INFO, "notice"),
    (PROGRESS, logging.INFO, "progress"),
]
BY_DEFAULT = {"own warning", "own error", "library's warning", "notice", "progress"}


def shown(capsys: pytest.CaptureFixture[str]) -> set[str]:
    for name, level, message in EVENTS:
        logging.getLogger(name).log(level, message)
    return {line.split(maxsplit=2)[2] for line in capsys.readouterr().err.splitlines()}


@pytest.mark.parametrize(
    ("verbosity", "quiet", "expected"),
    [
        (0, False, BY_DEFAULT),
        (1, False, BY_DEFAULT | {"own choice"}),
        (2, False, BY_DEFAULT | {"own choice", "own detail", "library's chatter"}),
        (5, False, BY_DEFAULT | {"own choice", "own detail", "library's chatter"}),
        (0, True, {"own error"}),
        (2, True, {"own error"}),
    ],
)
def test_levels(capsys: pytest.CaptureFixture[str], verbosity: int, quiet: bool, expected: set[str]) -> None:
    configure_logging(verbosity=verbosity, quiet=quiet)
    assert shown(capsys) == expected
    assert is_quiet() == quiet


def test_the_last_set_up_counts_and_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(verbosity=2)
    configure_logging()
    assert shown(capsys) == BY_DEFAULT
    logging.getLogger("semlink").warning("once")
    assert capsys.readouterr().err.count("once") == 1


def test_nothing_is_set_up_by_importing() -> None:
    assert (is_configured(), is_json(), is_quiet()) == (False, False, False)
    configure_logging(log_format=LogFormat.JSON)
    assert (is_configured(), is_json(), is_quiet()) == (True, True, False)


def fail() -> None:
    try:
        raise ZeroDivisionError("a\nb")
    except ZeroDivisionError:
        logging.getLogger("semlink").exception("failed at %s", "/a path/" + "x" * 300)


def test_an_event_is_one_line_unwrapped(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    fail()
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 ERROR failed at /a path/x{300}\\nTraceback", line)
    assert line.endswith("ZeroDivisionError: a\\nb")


def test_json_holds_fields_and_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(log_format=LogFormat.JSON)
    fail()
    logging.getLogger("semlink").warning("counted", extra={"fields": {"frames": 3, "of": {1}}})
    failed, counted = map(json.loads, capsys.readouterr().err.splitlines())
    assert failed["traceback"].endswith("ZeroDivisionError: a\nb")
    assert "fields" not in failed
    assert (counted["level"], counted["logger"], counted["message"]) == ("WARNING", "semlink", "counted")
    assert counted["fields"] == {"frames": 3, "of": [1]}


def test_warnings_of_python_are_events(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logging()
        warnings.warn("of a library", stacklevel=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert "WARNING" in line
    assert "UserWarning: of a library" in line


def test_a_terminal_gets_coloured_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal
    monkeypatch.setenv("COLUMNS", "80")
    configure_logging()
    logging.getLogger("semlink").warning("take care")
    error = capsys.readouterr().err
    assert "\x1b[" in error
    assert not re.search(r"\d{4}-\d\d-\d\d", error)
