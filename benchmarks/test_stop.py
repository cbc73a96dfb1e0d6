"""Time from Ctrl-C to the end of a running process, its summary included."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

NUM_PROCESSES = 5

_NOBODY = "tcp://127.0.0.1:9"
"""Port 9, discard: nothing answers there, and a sender waits."""


def start(command: str, folder: Path, kb: Path) -> subprocess.Popen[str]:
    """Start a command and wait until it listens, or sends to nobody."""
    arguments, announced = {
        "rx": (
            ["--kb", str(kb), "--listen", "tcp://127.0.0.1:*", "--results", str(folder / "results")],
            "listening on",
        ),
        "channel": (["--listen", "tcp://127.0.0.1:*", "--connect", _NOBODY], "listening on"),
        "tx": ([str(folder / "photos"), "--connect", _NOBODY, "--rate", "64", "--device", "cpu"], "sending"),
    }[command]
    process = subprocess.Popen(
        [sys.executable, "-m", "semlink", command, *arguments], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert any(announced in line for line in process.stderr), f"{command} ended with {process.wait()}"
    return process


@pytest.mark.parametrize("command", ["rx", "channel", "tx"])
def test_stop(benchmark: BenchmarkFixture, command: str, tmp_path: Path, knowledge_base_folder: Path) -> None:
    """SIGINT to exit: of a receiver and a channel that wait for frames, and a transmitter that waits for a receiver."""
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "photos" / "grey.png")
    processes: list[subprocess.Popen[str]] = []

    def set_up() -> None:
        processes.append(start(command, tmp_path, knowledge_base_folder))

    def stop() -> None:
        processes[-1].send_signal(signal.SIGINT)
        processes[-1].communicate()

    try:
        benchmark.pedantic(stop, setup=set_up, rounds=NUM_PROCESSES)
    finally:
        for process in processes:
            process.kill()
    assert {process.returncode for process in processes} <= {0, 130}
