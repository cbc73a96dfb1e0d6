"""Commands of `semlink` as processes that are stopped when their context ends."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any

import msgspec
from typing_extensions import Self

from semlink.errors import SemlinkError

__all__ = ["CommandFailedError", "CommandProcess", "wait_for_all"]

_READY = re.compile(r"listening on (\S+?),?\s")
_SEMLINK = "import sys; sys.path[:1] = []; from semlink.__main__ import start; start()"
"""In place of `-m semlink`, which would import a folder named semlink in the working directory."""
_LOWER_PRIORITY = "import os; os.nice(5); "
"""A third of the share of others on a busy core, and not so little that a busy machine starves it."""
_START_TIMEOUT_S = 60.0
_RUN_TIMEOUT_S = 1800.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.02


class CommandFailedError(SemlinkError):
    """A command failed in its own process; `exit_code` is the process's."""

    exit_code = 7

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class CommandProcess:
    """A running `semlink` command, terminated at the end of its context if it still runs.

    Standard error is collected, and searched for the address that the command listens on.

    Parameters
    ----------
    arguments : of `semlink`
    in_background : whether the process has a lower priority than others
    """

    def __init__(self, *arguments: str, in_background: bool = False) -> None:
        self.name = arguments[0]
        code = _LOWER_PRIORITY + _SEMLINK if in_background else _SEMLINK
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._errors: list[str] = []
        self._ready = threading.Event()
        self._endpoint: str | None = None
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the command still runs."""
        return self._process.poll() is None

    def raise_if_failed(self) -> None:
        """Raise CommandFailedError if the command has ended with an error."""
        if self._process.poll():
            raise self.failure()

    def endpoint(self) -> str:
        """Wait until the command listens; returns its address.

        Raises
        ------
        CommandFailedError
            If it ended, or did not listen in time.
        """
        if not self._ready.wait(_START_TIMEOUT_S) or self._endpoint is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
            raise self.failure()
        return self._endpoint

    def summary(self) -> dict[str, Any]:
        """Wait for the end and read the JSON that the command printed.

        Raises
        ------
        CommandFailedError
            If the command failed or did not end.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_RUN_TIMEOUT_S)
        if self._process.poll() != 0:
            raise self.failure()
        # A summary is smaller than a pipe's buffer, so that the command did not have to wait for this.
        output = self._process.stdout.read() if self._process.stdout else ""
        return dict(msgspec.json.decode(output))

    def stop(self) -> dict[str, Any]:
        """Ask the command to end, and read the JSON that it printed; CommandFailedError if it failed."""
        if self.is_running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_TIMEOUT_S)
        if self.is_running:
            raise self.failure()
        return self.summary()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(timeout=5.0)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _read_errors(self) -> None:
        for line in self._process.stderr or ():
            self._errors.append(line.rstrip())
            if match := _READY.search(line):
                self._endpoint = match[1]
                self._ready.set()
        self._ready.set()

    def failure(self) -> CommandFailedError:
        """The error for a command that failed, or did not start or end in time."""
        code = self._process.poll()
        if code is not None:
            self._reader.join(timeout=1.0)
        if not code:
            how = "did not start or end in time" if code is None else "ended before its work"
            exit_code = CommandFailedError.exit_code
        else:
            # Exit codes of a shell: 128 + N for a process that was killed by signal N.
            how, exit_code = (f"was killed by signal {-code}", 128 - code) if code < 0 else ("failed", code)
        return CommandFailedError(f"semlink {self.name} {how}: {self._last_lines()}", exit_code)

    def _last_lines(self) -> str:
        return " / ".join(line for line in self._errors[-5:] if line) or "it printed nothing"


def wait_for_all(*processes: CommandProcess, peer: CommandProcess | None = None) -> None:
    """Wait until all have ended, or one fails: its error is the cause of any later ones.

    Parameters
    ----------
    processes : to wait for
    peer : a process that goes on, and that the others depend on
    """
    watched = processes if peer is None else (peer, *processes)
    end_s = time.monotonic() + _RUN_TIMEOUT_S
    while running := [process for process in processes if process.is_running]:
        for process in watched:
            process.raise_if_failed()
        if time.monotonic() > end_s:
            raise running[0].failure()
        time.sleep(_POLL_S)
    for process in watched:
        process.raise_if_failed()
