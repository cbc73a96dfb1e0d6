"""Frames of another process, one for each request."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.frame_sender import frame_sender
from semlink.frame import unpack
from semlink.rates import parse_rate
from semlink.transport import FrameReceiver

RATE = parse_rate("64")


@pytest.mark.process
def test_a_frame_leaves_for_each_request_with_its_time(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(-127, 128, (2, RATE.num_symbols, 2)).astype(np.int8)
    with FrameReceiver("tcp://127.0.0.1:*") as frames, frame_sender(frames, codes, bytes(16), tmp_path) as next_frame:
        assert frames.receive(timeout_s=0.05) is None
        for sequence in range(3):
            before_ns = time.time_ns()
            frame = unpack(next_frame())
            assert frame.sequence == sequence
            assert np.array_equal(frame.codes, codes[sequence % 2])
            assert before_ns < frame.capture_time_ns < time.time_ns()


@pytest.mark.process
def test_a_sender_that_ends_is_an_error(tmp_path: Path) -> None:
    """Not a wait: no rate has 63 symbols, so the process ends at once."""
    codes = np.zeros((2, 63, 2), np.int8)
    with (
        FrameReceiver("tcp://127.0.0.1:*") as frames,
        pytest.raises(RuntimeError, match="process ended with 1"),
        frame_sender(frames, codes, bytes(16), tmp_path),
    ):
        pass
