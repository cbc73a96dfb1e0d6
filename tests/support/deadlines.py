"""How long a test waits for an event before it fails: generous, so that a loaded machine changes nothing.

`SEMLINK_TEST_TIMEOUT_SCALE=3 pytest` waits three times as long, for machines that are slower still.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

__all__ = ["DEADLINE_S", "TIMEOUT_SCALE", "wait_until"]

TIMEOUT_SCALE = float(os.environ.get("SEMLINK_TEST_TIMEOUT_SCALE", "1"))

DEADLINE_S = 300.0 * TIMEOUT_SCALE
"""Longest wait for one event: a message, the end of a process, a line that it writes [s]."""

_POLL_S = 0.01


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for a condition of which no event tells: a file that another process writes, a thread that blocks."""
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"not within {DEADLINE_S:.0f} s"
        time.sleep(_POLL_S)
