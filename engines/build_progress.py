"""A build's progress for people, wherever an engine may have to be built first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import Progress, TaskID

from engines.backends.runner import Report
from semlink.interrupt import interruptions

__all__ = ["build_progress"]


@contextlib.contextmanager
def build_progress(console: Console) -> Iterator[Report]:
    """Give what draws a bar for each phase of a build; nothing is drawn where nothing is built.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C or SIGTERM came meanwhile: by what is given, where a build can be ended, or else at the end.
    """
    progress = Progress(console=console)
    phases: dict[str, TaskID] = {}

    def report(phase: str, share: float) -> None:
        if interruption.is_set():
            raise KeyboardInterrupt
        if not phases:
            progress.start()
        if phase not in phases:
            phases[phase] = progress.add_task(phase, total=1.0)
        progress.update(phases[phase], completed=share)

    # As an exception it could fall into the midst of a builder's calls.
    with interruptions() as interruption:
        try:
            yield report
        finally:
            if phases:
                progress.stop()
    if interruption.is_set():
        raise KeyboardInterrupt
