"""Progress of long work: bars on a terminal, a log line every ten seconds off it."""

from __future__ import annotations

import logging
import threading

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TaskID

from semlink.cli.logs import PROGRESS

__all__ = ["INTERVAL_S", "progress_bars"]

INTERVAL_S = 10.0
"""Time between two log lines of a task."""

_log = logging.getLogger(PROGRESS)


def progress_bars(
    console: Console, *columns: str | ProgressColumn, transient: bool = False, interval_s: float = INTERVAL_S
) -> Progress:
    """Make a display of progress, to be used as a context manager or by `start` and `stop`.

    Parameters
    ----------
    console : where bars are drawn, if it is a terminal; otherwise each task is logged every `interval_s` [s]
    columns : of each bar; rich's if none are given
    transient : whether the bars are erased at the end
    """
    if console.is_terminal:
        return Progress(*columns, console=console, transient=transient)
    return _ProgressLog(console, interval_s)


class _ProgressLog(Progress):
    """Draws nothing; logs what a bar would show."""

    def __init__(self, console: Console, interval_s: float) -> None:
        # With auto_refresh `track` counts in a thread that ends at once where nothing is drawn.
        super().__init__(console=console, disable=True, auto_refresh=False)
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._logged: dict[TaskID, bool] = {}
        """Tasks that were logged, and whether as finished."""

    def start(self) -> None:
        if self._thread is None:
            self._ended.clear()
            self._thread = threading.Thread(target=self._log_until_ended, name="progress", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None
            # The end of what was worth a line before.
            self._log_tasks([task for task in self.tasks if task.finished and task.id in self._logged])

    def _log_until_ended(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._log_tasks(self.tasks)

    def _log_tasks(self, tasks: list[Task]) -> None:
        for task in tasks:
            if task.started and task.visible and not self._logged.get(task.id):
                fields = {"task": task.description, "done": task.completed, "total": task.total}
                _log.info("%s: %s", task.description, _amount(task), extra={"fields": fields})
                self._logged[task.id] = task.finished


def _amount(task: Task) -> str:
    if task.total is None:
        return f"{task.completed:.0f}"
    if task.total <= 1:  # a share of one piece of work
        return f"{task.percentage:.0f} %"
    return f"{task.completed:.0f}/{task.total:.0f} ({task.percentage:.0f} %)"
