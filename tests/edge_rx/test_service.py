"""The loop of a receiver over a socket in which frames wait, its status lines, and which error of a batch is raised."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from edge_rx.decoders.base import Query
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.pipeline import Batch, Receiver
from edge_rx.results import ResultsLog, read_results
from edge_rx.service import BatchRule, Status, StopRule, serve
from edge_rx.summary import summarize
from engines.models.model_set import ModelSet
from semlink.channel import complex_normal
from semlink.errors import ConfigError, EngineError, KnowledgeBaseError, ResultsError
from semlink.frame import pack, unpack
from semlink.image import RGBImage
from semlink.interrupt import Interruption
from semlink.iq import normalize_power
from semlink.message import Message
from semlink.rates import parse_rate
from semlink.transport import FrameReceiver, FrameSender
from tests.support.frames import FrameMaker, frame_of


def failing(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


class TestService:
    """The loop over a real socket in which frames wait."""

    @pytest.fixture
    def frames(self, maker: FrameMaker, pictures: dict[str, RGBImage]) -> list[bytes]:
        return [pack(maker.frame(picture, sequence)) for sequence, picture in enumerate(pictures.values())]

    def run(
        self, receiver: Receiver, sent: list[bytes], folder: Path, stop: StopRule, batch: BatchRule | None = None
    ) -> int:
        """Serve what was sent before; how many messages are left in the socket."""
        with FrameReceiver("tcp://127.0.0.1:*") as socket:
            with FrameSender(socket.endpoint) as sender:
                for data in sent:
                    sender.send(data)
            with ResultsLog(folder) as log:
                serve(socket, receiver, log, stop, Interruption(), batch=batch)
            return sum(1 for _ in iter(lambda: socket.receive(0.1), None))

    def test_count_is_exact_and_leaves_the_rest(self, receiver: Receiver, frames: list[bytes], tmp_path: Path) -> None:
        sent = [frames[0], frames[0], b"noise", *frames[1:]]
        left = self.run(receiver, sent, tmp_path, StopRule(max_matches=5), BatchRule(8))
        assert receiver.num_matches == len(read_results(tmp_path)) == 5
        assert left == len(sent) - 7, "neither the repeat nor the bad one is a match"

    def test_results_keep_the_order_until_every_stream_ends(
        self, receiver: Receiver, maker: FrameMaker, frames: list[bytes], tmp_path: Path
    ) -> None:
        sent = [*frames, pack(maker.end(len(frames)))]
        rule = BatchRule(len(sent), 1000.0)
        assert self.run(receiver, sent, tmp_path, StopRule(until_end=True, grace_s=0.1), rule) == 0
        assert [result.sequence for result in read_results(tmp_path)] == list(range(len(frames)))
        assert receiver.batches == {len(frames): 1}
        with ResultsLog(tmp_path / "other") as log:
            assert summarize(receiver, log, num_entries=12).batches == {len(frames): 1}

    @pytest.mark.parametrize(
        "stop", [StopRule(until_end=True, grace_s=0.5), StopRule(idle_timeout_s=0.5)], ids=["end", "idle"]
    )
    def test_the_time_that_a_batch_takes_is_no_idle_time(
        self,
        receiver: Receiver,
        decoders: Decoders,
        maker: FrameMaker,
        frames: list[bytes],
        tmp_path: Path,
        stop: StopRule,
    ) -> None:
        """The clock goes on by ten seconds in every decoder call; the frames of the second call still count."""
        decoder = decoders.decoder(maker.fingerprint)
        first = [*map(unpack, frames[:3]), maker.end(3)]
        second = [replace(frame, stream_id=frame.stream_id + 1) for frame in first]
        sent = [pack(frame) for frame in (*first, *second)]
        elapsed_s, decode, monotonic = itertools.count(10.0, 10.0), decoder.decode, time.monotonic
        offset_s = 0.0

        def decode_slowly(observation: np.ndarray) -> Query:
            nonlocal offset_s
            offset_s = next(elapsed_s)
            return decode(observation)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decoder, "decode", decode_slowly)
            patch.setattr(time, "monotonic", lambda: monotonic() + offset_s)
            assert self.run(receiver, sent, tmp_path, stop, BatchRule(4)) == 0
        assert receiver.num_matches == 6

    @pytest.mark.parametrize("batch", [1, 8])
    def test_what_was_found_before_a_decoder_fails_is_written(
        self,
        receivers: tuple[Receiver, Receiver],
        every_decoder: Decoders,
        every_codec: ModelSet,
        frames: list[bytes],
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        batch: int,
    ) -> None:
        receiver, _ = receivers
        rate = parse_rate("16")
        fingerprint = every_codec.codec("nested").fingerprint(rate)
        said = normalize_power(complex_normal((16,), np.random.default_rng(0)))
        ours = FrameMaker(every_codec).fingerprint
        sent = [
            *(pack(replace(unpack(data), fingerprint=ours)) for data in frames[:7]),
            pack(frame_of(fingerprint, said, 0xDEF, 0)),
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(every_decoder.decoder(fingerprint), "search", failing(EngineError("the GPU is gone")))
            with pytest.raises(EngineError, match="the GPU is gone"):
                self.run(receiver, sent, tmp_path, StopRule(max_matches=8), BatchRule(batch, 1000.0))
        assert [result.sequence for result in read_results(tmp_path)] == list(range(7))
        assert receiver.num_matches == receiver.num_accepted == 7
        assert "1 frames were received and are left without a result" in caplog.text

    @pytest.mark.parametrize(("batch", "num_left"), [(1, 1), (8, 3)])
    def test_what_was_found_before_a_record_is_missing_is_written(
        self,
        receiver: Receiver,
        knowledge_base: KnowledgeBase,
        frames: list[bytes],
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        batch: int,
        num_left: int,
    ) -> None:
        known = knowledge_base.record
        calls = itertools.count()
        with pytest.MonkeyPatch.context() as patch:
            missing = failing(KnowledgeBaseError("no record"))
            record = lambda entry_id: known(entry_id) if next(calls) < 5 else missing()  # noqa: E731
            patch.setattr(knowledge_base, "record", record)
            with pytest.raises(KnowledgeBaseError, match="no record"):
                self.run(receiver, frames[:8], tmp_path, StopRule(max_matches=8), BatchRule(batch, 1000.0))
        assert [result.sequence for result in read_results(tmp_path)] == list(range(5))
        assert receiver.num_matches == receiver.num_accepted == 5
        assert f"{num_left} frames were received and are left without a result" in caplog.text

    def test_what_cannot_be_written_is_told_of_too(
        self, receiver: Receiver, frames: list[bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ResultsLog, "write", failing(ResultsError("the disk is full")))
            with pytest.raises(ResultsError, match="the disk is full"):
                self.run(receiver, frames[:4], tmp_path, StopRule(max_matches=4), BatchRule(4, 1000.0))
        assert "4 frames were received and are left without a result" in caplog.text

    def test_without_a_batch_each_is_alone(self, receiver: Receiver, frames: list[bytes], tmp_path: Path) -> None:
        self.run(receiver, frames, tmp_path, StopRule(max_matches=len(frames)))
        assert receiver.batches == {1: len(frames)}


@pytest.mark.parametrize(("frames", "delay_ms"), [(0, 0.0), (257, 0.0), (2, -1.0), (2, 1001.0), (2, float("nan"))])
def test_a_batch_that_cannot_be(frames: int, delay_ms: float) -> None:
    with pytest.raises(ConfigError, match=r"batch-size must be 1\.\.256|batch-delay-ms must be 0\.\.1000"):
        BatchRule(frames, delay_ms)


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
