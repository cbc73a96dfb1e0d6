"""A transmitter's last step in a process of its own: told by a message, it hands a frame to ZeroMQ."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from semlink.frame import Frame, pack
from semlink.iq import IQCodes
from semlink.rates import parse_rate
from semlink.transport import FrameReceiver, FrameSender

__all__ = ["frame_sender"]

_TIMEOUT_S = 30


@contextmanager
def frame_sender(
    frames: FrameReceiver, codes: IQCodes, fingerprint: bytes, folder: Path
) -> Iterator[Callable[[], bytes]]:
    """Start the process; each call of what is given makes it send the next of `codes` (m, n, 2), over and over.

    The call gives what came to `frames`; RuntimeError if the process ended, or nothing came.
    """
    np.save(folder / "codes.npy", codes)
    arguments = (frames.endpoint, str(folder / "codes.npy"), fingerprint.hex())
    command = [sys.executable, "-m", "benchmarks.frame_sender", *arguments]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1]) as process:
        try:
            # The first message says where the process listens: on a port that it holds already.
            with FrameSender(_message(frames, process).decode()) as go:

                def next_frame() -> bytes:
                    go.send(b"go")
                    return _message(frames, process)

                yield next_frame
        finally:
            process.terminate()


def _message(frames: FrameReceiver, process: subprocess.Popen[bytes]) -> bytes:
    for _ in range(_TIMEOUT_S):
        message = frames.receive(timeout_s=1.0)
        if message is not None:
            return message
        if process.poll() is not None:
            raise RuntimeError(f"the sender's process ended with {process.returncode}")
    raise RuntimeError(f"the sender's process sent nothing for {_TIMEOUT_S} s")


def _main() -> None:
    endpoint, path, fingerprint = sys.argv[1:]
    codes = np.load(path)
    rate = parse_rate(str(codes.shape[1]))
    sequence = 0
    with FrameReceiver("tcp://127.0.0.1:*") as told, FrameSender(endpoint) as sender:
        sender.send(told.endpoint.encode())
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
