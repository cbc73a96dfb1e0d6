"""Progress bars of engine builds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import TaskID

from engines.backends.runner import BuildProgress
from semlink.cli.progress import progress_bars
from semlink.interrupt import interruptions

__all__ = ["build_progress"]


@contextlib.contextmanager
def build_progress(console: Console) -> Iterator[BuildProgress]:
    """Yield a callback that draws a bar for each phase of a build; nothing is drawn if nothing is built.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C or SIGTERM came during the block: by the callback, where a build can be ended, or else at the end.
    """
    progress = progress_bars(console)
    phases: dict[str, TaskID] = {}

    def on_progress(phase: str, share: float) -> None:
        if interruption.is_set():
            raise KeyboardInterrupt
        if not phases:
            progress.start()
        if phase not in phases:
            phases[phase] = progress.add_task(phase, total=1.0)
        progress.update(phases[phase], completed=share)

    # A flag, because an exception could interrupt a builder between two calls.
    with interruptions() as interruption:
        try:
            yield on_progress
        finally:
            if phases:
                progress.stop()
    if interruption.is_set():
        raise KeyboardInterrupt
