"""How long a test waits for an event before it fails: generous, so that a loaded machine changes nothing.

`SEMLINK_TEST_TIMEOUT_SCALE=3 pytest` waits three times as long, for machines that are slower still.
"""

from __future__ import annotations

import os

__all__ = ["DEADLINE_S", "TIMEOUT_SCALE"]

TIMEOUT_SCALE = float(os.environ.get("SEMLINK_TEST_TIMEOUT_SCALE", "1"))

DEADLINE_S = 300.0 * TIMEOUT_SCALE
"""Longest wait for one event: a message, the end of a process, a line that it writes [s]."""
