"""Ctrl-C and SIGTERM as a wish that is asked for, not an exception that falls from the sky.

An exception could come between a frame that left and its being counted, or between a result's row
and its line. A flag is read where nothing is half done.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interruption", "interruptions"]

_STEP_S = 0.05


class Interruption:
    """Whether the user wants to leave. Has `is_set`, so that it serves where a threading.Event is asked for."""

    def __init__(self) -> None:
        self._asked = False

    def ask(self) -> None:
        """Note the wish; safe inside a signal handler, where an Event's lock is not."""
        self._asked = True

    def is_set(self) -> bool:
        """Whether somebody asked."""
        return self._asked

    def wait(self, timeout_s: float) -> bool:
        """Sleep for `timeout_s` [s], or until somebody asks; True if somebody did."""
        end_s = time.monotonic() + timeout_s
        while not self._asked and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(_STEP_S, left_s))
        return self._asked


@contextmanager
def interruptions() -> Iterator[Interruption]:
    """Take Ctrl-C and SIGTERM as a wish for the time of a with statement; for the main thread only."""
    interruption = Interruption()

    def ask(number: int, frame: FrameType | None) -> None:
        interruption.ask()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
