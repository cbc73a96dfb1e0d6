"""Bars on a terminal; off it, a log line at an interval, and one at the end of what was logged."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.progress import Progress

from semlink.cli.logs import PROGRESS
from semlink.cli.progress import INTERVAL_S, progress_bars
from tests.support.deadlines import DEADLINE_S

NEVER_S = 3600.0


class Lines(logging.Handler):
    """Collects the lines of progress, and lets a test wait for the next."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._arrived = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._arrived:
            self.records.append(record)
            self._arrived.notify_all()

    def wait_for(self, message: str) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: message in self.messages, timeout=DEADLINE_S), self.messages

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger(PROGRESS)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def off_terminal(drawn: io.StringIO, interval_s: float = NEVER_S) -> Progress:
    return progress_bars(Console(file=drawn), interval_s=interval_s)


def test_bars_on_a_terminal(lines: Lines) -> None:
    drawn = io.StringIO()
    with progress_bars(Console(file=drawn, force_terminal=True, width=80), interval_s=0.001) as progress:
        task = progress.add_task("encoding", total=4)
        progress.advance(task, 4)
    assert "encoding" in drawn.getvalue()
    assert "100%" in drawn.getvalue()
    assert lines.messages == []


def test_lines_off_it(lines: Lines) -> None:
    drawn = io.StringIO()
    with off_terminal(drawn, interval_s=0.001) as progress:
        encoding = progress.add_task("encoding", total=40)
        build = progress.add_task("building", total=1.0)
        search = progress.add_task("searching", total=None)
        progress.add_task("hidden", total=2, visible=False)
        progress.add_task("later", total=2, start=False)
        progress.advance(encoding, 10)
        progress.advance(build, 0.5)
        progress.advance(search, 7)
        for message in ("encoding: 10/40 (25 %)", "building: 50 %", "searching: 7"):
            lines.wait_for(message)
        progress.advance(encoding, 30)
    assert lines.messages.count("encoding: 40/40 (100 %)") == 1
    assert not any("hidden" in message or "later" in message for message in lines.messages)
    assert lines.records[0].__dict__["fields"].keys() == {"task", "done", "total"}
    assert drawn.getvalue() == ""


def test_short_work_is_not_logged(lines: Lines) -> None:
    with off_terminal(io.StringIO()) as progress:
        for _ in progress.track(range(3), description="quick"):
            pass
        assert progress.tasks[0].finished
    assert lines.messages == []


def test_a_tracked_sequence_advances_off_a_terminal(lines: Lines) -> None:
    with off_terminal(io.StringIO(), interval_s=0.001) as progress:
        for share in progress.track(["0/3 (0 %)", "1/3 (33 %)", "2/3 (67 %)"], description="reading"):
            lines.wait_for(f"reading: {share}")


def test_begins_and_ends_by_call_as_rich_does(lines: Lines) -> None:
    progress = off_terminal(io.StringIO(), interval_s=0.001)
    progress.stop()
    for number in range(2):
        progress.start()
        progress.start()
        progress.add_task(f"phase {number}", total=2)
        lines.wait_for(f"phase {number}: 0/2 (0 %)")
        progress.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_interval_is_ten_seconds() -> None:
    assert INTERVAL_S == 10.0
