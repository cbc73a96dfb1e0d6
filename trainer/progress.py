"""Bars for parts of a command's work, on the display that the command owns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress

__all__ = ["progress_task"]


@contextmanager
def progress_task(
    progress: Progress | None, description: str, total: float | None, *, completed: int = 0
) -> Iterator[Callable[[float], None]]:
    """Show a bar while the block runs; yields the function that advances it. Without a display nothing is shown."""
    if progress is None:
        yield lambda _: None
        return
    task = progress.add_task(description, total=total, completed=completed)
    try:
        yield lambda amount: progress.advance(task, amount)
    finally:
        progress.remove_task(task)
