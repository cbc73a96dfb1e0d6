"""A transmitter's last step in a process of its own: told by a message, it hands a frame to ZeroMQ."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from semlink.frame import Frame, pack
from semlink.iq import IQCodes
from semlink.rates import parse_rate
from semlink.transport import FrameReceiver, FrameSender

__all__ = ["frame_sender"]


@contextmanager
def frame_sender(endpoint: str, codes: IQCodes, fingerprint: bytes, folder: Path) -> Iterator[FrameSender]:
    """Start the process; each message to what is given makes it send the next of `codes` (m, n, 2), over and over."""
    np.save(folder / "codes.npy", codes)
    with FrameReceiver("tcp://127.0.0.1:*") as probe:
        control = probe.endpoint
    arguments = (control, endpoint, str(folder / "codes.npy"), fingerprint.hex())
    command = [sys.executable, "-m", "benchmarks.frame_sender", *arguments]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1]) as process:
        try:
            with FrameSender(control) as go:
                yield go
        finally:
            process.terminate()


def _main() -> None:
    control, endpoint, path, fingerprint = sys.argv[1:]
    codes = np.load(path)
    rate = parse_rate(str(codes.shape[1]))
    sequence = 0
    with FrameReceiver(control) as told, FrameSender(endpoint) as sender:
        while True:
            if told.receive(timeout_s=1.0) is None:
                continue
            # The time is part of the frame, so packing it, a few microseconds, is counted too.
            now_ns = time.time_ns()
            frame = Frame(1, sequence, now_ns, bytes.fromhex(fingerprint), rate, codes[sequence % len(codes)])
            sender.send(pack(frame))
            sequence += 1


if __name__ == "__main__":
    _main()
