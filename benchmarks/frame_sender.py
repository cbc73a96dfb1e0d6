"""Last step of a transmitter in a process of its own: sends a frame to ZeroMQ for each request."""

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
_REQUEST = b"next"


@contextmanager
def frame_sender(
    frames: FrameReceiver, codes: IQCodes, fingerprint: bytes, folder: Path
) -> Iterator[Callable[[], bytes]]:
    """Start the process, and yield a function that has it send the next frame and returns the frame's bytes.

    Parameters
    ----------
    frames : receives the frames
    codes : (m, n, 2), of the frames in turn, over and over
    folder : for the process's files

    Raises
    ------
    RuntimeError
        If the process ended, or sent nothing for 30 s.
    """
    np.save(folder / "codes.npy", codes)
    arguments = (frames.endpoint, str(folder / "codes.npy"), fingerprint.hex())
    command = [sys.executable, "-m", "benchmarks.frame_sender", *arguments]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1]) as process:
        try:
            # The first message is the address to which requests go.
            with FrameSender(_message(frames, process).decode()) as requests:

                def next_frame() -> bytes:
                    requests.send(_REQUEST)
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
    with FrameReceiver("tcp://127.0.0.1:*") as requests, FrameSender(endpoint) as sender:
        sender.send(requests.endpoint.encode())
        while True:
            if requests.receive(timeout_s=1.0) is None:
                continue
            # The time is part of the frame, so the few microseconds of packing are counted too.
            now_ns = time.time_ns()
            frame = Frame(1, sequence, now_ns, bytes.fromhex(fingerprint), rate, codes[sequence % len(codes)])
            sender.send(pack(frame))
            sequence += 1


if __name__ == "__main__":
    _main()
