"""A build's progress."""

from __future__ import annotations

import io

from rich.console import Console

from engines.build_progress import build_progress


def test_bars_are_drawn_for_what_is_built_and_for_nothing_else() -> None:
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=80)
    with build_progress(console):
        pass
    assert drawn.getvalue() == ""
    with build_progress(console) as report:
        for share in (0.0, 0.5, 1.0):
            report("Building", share)
        report("Timing", 1.0)
    assert "Building" in drawn.getvalue()
    assert "100%" in drawn.getvalue()
