"""A build's progress."""

from __future__ import annotations

import io
import signal

import pytest
from rich.console import Console

from engines.backends.runner import BuildProgress
from engines.build_progress import build_progress


def test_bars_are_drawn_for_what_is_built_and_for_nothing_else() -> None:
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=80)
    with build_progress(console):
        pass
    assert drawn.getvalue() == ""
    with build_progress(console) as on_progress:
        for share in (0.0, 0.5, 1.0):
            on_progress("Building", share)
        on_progress("Timing", 1.0)
    assert "Building" in drawn.getvalue()
    assert "100%" in drawn.getvalue()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_ends_where_it_next_reports(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    steps: list[float] = []

    def build(on_progress: BuildProgress) -> None:
        for share in (0.0, 0.5, 1.0):
            on_progress("Building", share)
            if share == 0.5:
                signal.raise_signal(number)
            steps.append(share)

    with pytest.raises(KeyboardInterrupt), build_progress(Console(file=io.StringIO())) as on_progress:
        build(on_progress)
    assert steps == [0.0, 0.5], "neither in the midst of a step, nor after the next"
    assert signal.getsignal(number) is before


def test_an_interruption_after_the_last_report_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt), build_progress(Console(file=io.StringIO())):
        signal.raise_signal(signal.SIGTERM)
