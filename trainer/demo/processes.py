"""Receiver, channel and transmitter as the three processes that a user would start by hand."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from typing_extensions import Self

from semlink.errors import SemlinkError
from semlink.rates import Rate

__all__ = ["NUM_ENCODER_THREADS", "CommandFailedError", "CommandProcess", "LinkRun", "run_command", "run_link"]

_READY = re.compile(r"listening on (\S+?),?\s")
_SEMLINK = "import sys; sys.path[:1] = []; from semlink.__main__ import start; start()"
"""Not `-m semlink`, which would take a folder named semlink in the working directory for the package."""
_START_TIMEOUT_S = 60.0
_RUN_TIMEOUT_S = 1800.0
_IDLE = ("--idle-timeout-s", "60")
"""A receiver whose stream lost its end does not wait for it for ever."""
NUM_ENCODER_THREADS = 2
"""CPU threads of the transmitter's engine."""
_POLL_S = 0.1
_ANY_PORT = "tcp://127.0.0.1:*"


class CommandFailedError(SemlinkError):
    """A command that was started here failed; its exit code says of what kind the failure was."""

    exit_code = 7

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class CommandProcess:
    """A running `semlink` command; standard error is collected, and searched for the address it listens on.

    Leaving the `with` statement stops a command that still runs.
    """

    def __init__(self, *arguments: str) -> None:
        self.name = arguments[0]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SEMLINK, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._errors: list[str] = []
        self._ready = threading.Event()
        self._endpoint: str | None = None
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's number, to look at it from outside."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the command has not ended yet."""
        return self._process.poll() is None

    def raise_if_failed(self) -> None:
        """Raise CommandFailedError if the command has ended with an error."""
        if self._process.poll():
            raise self.failure()

    def endpoint(self) -> str:
        """Wait until the command listens, and say where.

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
        # A summary is smaller than a pipe's buffer, so the command never waited for this.
        output = self._process.stdout.read() if self._process.stdout else ""
        return dict(msgspec.json.decode(output))

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
        """The error that a command is which has failed, or has not done in time what was waited for."""
        code = self._process.poll()
        if code is not None:
            self._reader.join(timeout=1.0)
        if not code:
            how = "did not start or end in time" if code is None else "ended before its work"
            exit_code = CommandFailedError.exit_code
        else:
            # As a shell does it: a process that signal N killed counts as one that ended with 128 + N.
            how, exit_code = (f"was killed by signal {-code}", 128 - code) if code < 0 else ("failed", code)
        return CommandFailedError(f"semlink {self.name} {how}: {self._last_words()}", exit_code)

    def _last_words(self) -> str:
        return " / ".join(line for line in self._errors[-5:] if line) or "it said nothing"


def run_command(*arguments: str) -> dict[str, Any]:
    """Run one `semlink` command to its end."""
    with CommandProcess(*arguments) as process:
        return process.summary()


@dataclass(frozen=True)
class LinkRun:
    """Summaries that the three processes printed, and the logs that two of them wrote."""

    receiver: dict[str, Any]
    channel: dict[str, Any]
    transmitter: dict[str, Any]
    sent_log: Path
    results_log: Path


def run_link(
    images: Path,
    knowledge_base: Path,
    folder: Path,
    *,
    model_set: str,
    codec: str,
    rate: Rate,
    channel: str,
    snr_db: float,
    seed: int,
    num_pilots: int,
) -> LinkRun:
    """Stream a list of images once through channel and receiver, over TCP on loopback."""
    folder.mkdir(parents=True, exist_ok=True)
    sent_log, results = folder / "sent.jsonl", folder / "results"
    receive = (
        "rx",
        "--kb",
        str(knowledge_base),
        "--listen",
        _ANY_PORT,
        "--results",
        str(results),
        "--until-end",
        *_IDLE,
        "--rate",
        str(rate.num_symbols),
    )
    with CommandProcess(*receive, "--model-set", model_set, "--json") as rx:
        conditions = ("--model", channel, "--snr-db", f"{snr_db:g}", "--seed", str(seed))
        with CommandProcess(
            "channel", "--listen", _ANY_PORT, "--connect", rx.endpoint(), *conditions, "--until-end", "--json"
        ) as ch:
            send = ("tx", str(images), "--connect", ch.endpoint(), "--codec", codec, "--rate", str(rate.num_symbols))
            settings = ("--pilots", str(num_pilots), "--num-threads", str(NUM_ENCODER_THREADS), "--log", str(sent_log))
            with CommandProcess(*send, *settings, "--model-set", model_set, "--json") as tx:
                _wait_for_all(rx, ch, tx)
                return LinkRun(
                    transmitter=tx.summary(),
                    channel=ch.summary(),
                    receiver=rx.summary(),
                    sent_log=sent_log,
                    results_log=results / "results.jsonl",
                )


def _wait_for_all(*processes: CommandProcess) -> None:
    """Wait for the end of all; the first that fails ends it, since the others would fail of that."""
    end_s = time.monotonic() + _RUN_TIMEOUT_S
    while running := [process for process in processes if process.is_running]:
        for process in processes:
            process.raise_if_failed()
        if time.monotonic() > end_s:
            raise running[0].failure()
        time.sleep(_POLL_S)
