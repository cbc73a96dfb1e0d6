"""Commands as a user runs them: processes of this interpreter, from their start to their end.

A process reads and writes text, ends within `DEADLINE_S`, and never outlives the `with` statement that it was started
in. Ctrl-C reaches it even where the tests run as a background job of a shell, which ignores SIGINT and hands that on
to every process: `accept_interrupts` undoes it once, before the first test.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.deadlines import DEADLINE_S, wait_until

__all__ = [
    "Finished",
    "Run",
    "RunningProcess",
    "accept_interrupts",
    "run_python",
    "run_semlink",
    "run_without_torch",
    "start_python",
    "start_semlink",
]

Finished = subprocess.CompletedProcess[str]
Run = Callable[..., Finished]

# scipy takes a None in sys.modules for an imported torch, so it is blocked where it would be found.
_BLOCK_TORCH = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is blocked")

sys.meta_path.insert(0, Block())
"""


def accept_interrupts() -> None:
    """Make SIGINT interrupt this process, and with it those that it starts, where it was ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class RunningProcess(subprocess.Popen[str]):
    """A process whose output and messages are pipes.

    Parameters
    ----------
    arguments : of the interpreter; converted to text
    environment : variables in addition to, or in place of, those of this process
    own_session : make it the leader of a session, so that `interrupt` reaches its children as a terminal's Ctrl-C does
    prefix : program that starts the interpreter
    options : of `subprocess.Popen`
    """

    def __init__(
        self,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        own_session: bool = False,
        prefix: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        self._own_session = own_session
        super().__init__(
            [*prefix, sys.executable, *map(str, arguments)],
            env={**os.environ, **(environment or {})},
            start_new_session=own_session,
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.wait(DEADLINE_S)
        finally:
            if self.poll() is None:
                self._signal_all(signal.SIGKILL)
            super().__exit__(kind, error, traceback)

    def finish(self, text: str | None = None) -> Finished:
        """Write a last text to it, where its input is a pipe, and wait for its end."""
        output, errors = self.communicate(text, timeout=DEADLINE_S)
        return Finished(self.args, self.returncode, output, errors)

    def interrupt(self) -> Finished:
        """Press Ctrl-C and wait for its end."""
        self._signal_all(signal.SIGINT)
        return self.finish()

    def read_message(self, containing: str = "") -> str:
        """Wait for a line of its messages that contains a text; fails with all of them if it ends before."""
        assert self.stderr is not None
        lines = []
        while line := self.stderr.readline():
            if containing in line:
                return line
            lines.append(line)
        raise AssertionError(f"no line with {containing!r} in:\n{''.join(lines)}")

    def read_endpoints(self) -> list[str]:
        """Wait until it listens; the addresses that it listens on."""
        return re.findall(r"tcp://[^\s,;]+:\d+", self.read_message("listening on"))

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition that the process brings about; fails if it ends before."""
        wait_until(lambda: condition() or self.poll() is not None)
        assert condition(), f"it ended with {self.returncode}"

    def until_opens(self, folder: Path) -> None:
        """Wait until a file in a folder is open in it; needs /proc."""

        def has_opened() -> bool:
            descriptors = Path(f"/proc/{self.pid}/fd").iterdir()
            return any(_target(descriptor).is_relative_to(folder.resolve()) for descriptor in descriptors)

        self.until(has_opened)

    def until_blocked(self) -> None:
        """Wait until it waits for something: until its main thread sleeps and has used no time of a processor."""
        previous: list[str] = []

        def sleeps() -> bool:
            nonlocal previous
            state, *fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            unchanged, previous = fields[10:12] == previous, fields[10:12]
            return state == "S" and unchanged

        self.until(sleeps)

    def _signal_all(self, number: signal.Signals) -> None:
        if self._own_session:
            os.killpg(self.pid, number)
        else:
            self.send_signal(number)


def _target(link: Path) -> Path:
    try:
        return link.readlink()
    except FileNotFoundError:  # closed meanwhile
        return Path()


def start_python(*arguments: object, **options: Any) -> RunningProcess:
    """Start this interpreter; options of `RunningProcess`."""
    return RunningProcess(*arguments, **options)


def start_semlink(*arguments: object, **options: Any) -> RunningProcess:
    """Start `semlink`, not by the console script, which may be of another interpreter; options of `RunningProcess`."""
    return RunningProcess("-m", "semlink", *arguments, **options)


def run_python(*arguments: object, **options: Any) -> Finished:
    """Run this interpreter to its end; options of `RunningProcess`."""
    with start_python(*arguments, **options) as process:
        return process.finish()


def run_semlink(*arguments: object, **options: Any) -> Finished:
    """Run `semlink` to its end; options of `RunningProcess`."""
    with start_semlink(*arguments, **options) as process:
        return process.finish()


def run_without_torch(script: str, *arguments: object) -> Finished:
    """Run a script to its end where torch cannot be imported."""
    return run_python("-c", f"{_BLOCK_TORCH}\n{script}", *arguments)
