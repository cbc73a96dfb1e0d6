"""Turns SIGINT and SIGTERM into a flag that loops poll, so that no operation stops half-way.

An exception could come between the sending of a frame and its count, or between a result's row and its
line. A flag is polled between operations.
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
    """Whether the user interrupted the process. Its `is_set` is that of a threading.Event."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Set the flag; safe in a signal handler, where an Event's lock is not."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether a signal arrived."""
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Sleep for `timeout_s` [s], or until a signal arrives; True if one did."""
        end_s = time.monotonic() + timeout_s
        while not self._is_set and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(_STEP_S, left_s))
        return self._is_set


@contextmanager
def interruptions() -> Iterator[Interruption]:
    """Set a flag on SIGINT and SIGTERM inside a with statement; for the main thread only."""
    interruption = Interruption()

    def handle(number: int, frame: FrameType | None) -> None:
        interruption.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
