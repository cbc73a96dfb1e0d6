"""The receiver's status lines, and which error of a batch is raised."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from edge_rx.pipeline import Batch, Receiver
from edge_rx.service import Status
from semlink.errors import ConfigError, EngineError
from semlink.frame import pack
from semlink.image import RGBImage
from semlink.message import Message
from tests.support.frames import FrameMaker


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time_s = 1000.0

    def __call__(self) -> float:
        return self.time_s


def test_status_lines_have_counts_and_the_rate_since_the_last_line(
    receiver: Receiver, maker: FrameMaker, pictures: dict[str, RGBImage]
) -> None:
    lines: list[tuple[str, Mapping[str, float]]] = []
    clock = Clock()
    status = Status(10.0, lambda line, counts: lines.append((line, counts)), now_s=clock)
    clock.time_s += 60.0  # models are loaded before the loop starts, and are no part of its rate
    status.update(receiver)
    few = list(pictures.values())[:4]
    for sequence, picture in enumerate(few):
        receiver.run_once(pack(maker.frame(picture, sequence)))
    receiver.run_once(b"noise")
    clock.time_s += 9.9
    status.update(receiver)
    assert not lines
    clock.time_s += 0.1
    status.update(receiver)
    (line, counts), *rest = lines
    assert not rest
    assert line.startswith("status: frames 4, matches 4, matches_per_s 0.4, lost 0, duplicated 0, rejected 1")
    assert (counts["matches"], counts["matches_per_s"], counts["rejected"]) == (4, 0.4, 1)
    clock.time_s += 10.0
    status.update(receiver)
    assert lines[1][1]["matches_per_s"] == 0.0, "none since the last line"


def test_an_interval_of_zero_writes_no_status(receiver: Receiver) -> None:
    clock = Clock()
    lines: list[str] = []
    status = Status(0.0, lambda line, counts: lines.append(line), now_s=clock)
    for _ in range(3):
        status.update(receiver)
        clock.time_s += 1e6
    assert not lines


@pytest.mark.parametrize("interval_s", [-1.0, float("nan")])
def test_an_interval_that_cannot_be_is_refused(interval_s: float) -> None:
    with pytest.raises(ConfigError, match="status-interval-s must be 0 or more"):
        Status(interval_s, lambda line, counts: None)


def test_the_error_of_a_batch_is_raised_by_whoever_wants_all_of_it(
    receiver: Receiver, maker: FrameMaker, pictures: dict[str, RGBImage]
) -> None:
    frame = pack(maker.frame(next(iter(pictures.values())), 0))
    batch = receiver.run_batch([Message(frame, time.perf_counter_ns())])
    assert batch.complete() == batch.matches
    failed = Batch(batch.matches, 1, EngineError("the GPU is gone"))
    with pytest.raises(EngineError, match="the GPU is gone"):
        failed.complete()
