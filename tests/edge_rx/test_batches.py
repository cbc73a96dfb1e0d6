"""Frames that queue up are answered together, and as if each had come alone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.match import Match
from edge_rx.pipeline import Receiver
from edge_rx.results import ResultsLog, read_results
from edge_rx.service import BatchRule, StopRule, serve
from edge_rx.summary import summarize
from engines.models.entry_codebook import entry_codewords, index_fingerprint
from engines.models.model_set import ModelSet
from semlink.channel import complex_normal, pilot_symbols
from semlink.errors import ConfigError, EngineError, KnowledgeBaseError, ResultsError
from semlink.frame import Frame, end_of_stream, pack, unpack
from semlink.image import RGBImage
from semlink.interrupt import Interruption
from semlink.iq import CodesFormat, Symbols, normalize_power, pair_latent, quantize
from semlink.message import Message
from semlink.rates import parse_rate
from semlink.transport import FrameReceiver, FrameSender
from tests.support.frames import FrameMaker
from tests.support.model_sets import make_model_set


@pytest.fixture(scope="module")
def every_codec(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    return make_model_set(tmp_path_factory.mktemp("every"), rates=(16, 64), nested=True)


@pytest.fixture
def every_kb(every_codec: ModelSet, built_kb: Path) -> Iterator[KnowledgeBase]:
    with KnowledgeBase.open(built_kb, every_codec.encoder_fingerprint) as knowledge_base:
        yield knowledge_base


@pytest.fixture
def every_decoder(every_codec: ModelSet, every_kb: KnowledgeBase) -> Decoders:
    return Decoders.of(every_codec, every_kb)


@pytest.fixture
def receivers(every_decoder: Decoders, every_kb: KnowledgeBase) -> tuple[Receiver, Receiver]:
    return Receiver(every_decoder, every_kb), Receiver(every_decoder, every_kb)


def failing(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


def frame_of(fingerprint: bytes, sent: Symbols, stream_id: int, sequence: int, *, num_pilots: int = 0) -> Frame:
    return Frame(
        stream_id=stream_id,
        sequence=sequence,
        capture_time_ns=1_700_000_000_000_000_000,
        fingerprint=fingerprint,
        rate=parse_rate(str(sent.size)),
        codes=quantize(np.concatenate([pilot_symbols(num_pilots), sent])),
        num_pilots=num_pilots,
    )


def mixed_messages(models: ModelSet, kb: Path, pictures: dict[str, RGBImage], *, num_rounds: int = 3) -> list[bytes]:
    """Two streams of every codec and several rates, in noise, with all that can be wrong between them."""
    rng = np.random.default_rng(0)
    with KnowledgeBase.open(kb) as knowledge_base:
        fingerprint = knowledge_base.fingerprint
    makers = [FrameMaker(models, num_symbols) for num_symbols in (16, 64)]
    nested, rates = models.codec("nested"), [parse_rate(text) for text in ("8", "16", "64", "256")]
    messages, sequence = [], 0
    for picture in list(pictures.values())[:num_rounds]:
        for stream_id in (1, 2):
            frames = [
                replace(maker.frame(picture, 0, num_pilots=num_pilots, codes_format=codes_format), stream_id=stream_id)
                for maker in makers
                for num_pilots, codes_format in ((0, CodesFormat.SC8), (1, CodesFormat.SC16), (8, CodesFormat.CF32))
            ]
            for rate in rates:
                noise = 0.3 * complex_normal((rate.num_symbols,), rng)
                said = normalize_power(complex_normal((rate.num_symbols,), rng))
                frames.append(frame_of(nested.fingerprint(rate), said + noise, stream_id, 0, num_pilots=2))
                codeword = pair_latent(entry_codewords(fingerprint, rng.integers(0, 12, 1), rate))[0]
                space = index_fingerprint(models.encoder_fingerprint, fingerprint, rate)
                frames.append(frame_of(space, codeword + noise, stream_id, 0))
            frames.append(replace(frames[0], codes=np.zeros_like(frames[0].codes)))  # decodes to no direction
            frames.append(replace(frames[0], fingerprint=bytes(16)))  # of unknown models
            for frame in frames:
                messages.append(pack(replace(frame, sequence=sequence)))
                sequence += 1
        messages += [b"noise", messages[-3][:-1], messages[-5], messages[0]]  # bad twice, repeated twice
    for stream_id in (1, 2):
        rate = parse_rate("16")
        messages.insert(-3, pack(end_of_stream(stream_id, sequence, makers[0].fingerprint, rate, 0)))
    return messages


def lasting(match: Match) -> tuple[object, ...]:
    """All of a match that no clock tells, but its score."""
    return (match.frame_id, match.entry_id, match.source, match.codec, match.num_symbols, match.num_pilots)


@pytest.mark.parametrize("batch", [2, 7, 256])
def test_a_batch_answers_as_one_frame_after_another(
    receivers: tuple[Receiver, Receiver],
    every_codec: ModelSet,
    built_kb: Path,
    pictures: dict[str, RGBImage],
    batch: int,
) -> None:
    alone, together = receivers
    messages = mixed_messages(every_codec, built_kb, pictures)
    expected = [match for data in messages if (match := alone.run_once(data)) is not None]
    got: list[Match] = []
    for start in range(0, len(messages), batch):
        got += together.run_batch(
            [Message(data, time.perf_counter_ns()) for data in messages[start : start + batch]]
        ).matches
    assert len(expected) > 70
    assert {match.codec for match in expected} == {"synthetic-codec", "nested", "index"}
    assert [lasting(match) for match in got] == [lasting(match) for match in expected]
    np.testing.assert_allclose([match.score for match in got], [match.score for match in expected], atol=1e-5)
    assert together.rejected == alone.rejected
    assert set(alone.rejected) >= {"unknown models", "truncated", "symbols decode to no direction"}
    assert together.tracker.streams == alone.tracker.streams
    assert together.noise.snr_db() == alone.noise.snr_db()
    assert together.num_matches == len(got)
    num_searched = len(got) + alone.rejected["symbols decode to no direction"]
    assert sum(size * count for size, count in together.batches.items()) == num_searched
    assert alone.batches == {1: num_searched}


def test_frames_of_one_decoder_share_its_calls(
    receivers: tuple[Receiver, Receiver], every_decoder: Decoders, maker: FrameMaker, pictures: dict[str, RGBImage]
) -> None:
    _, receiver = receivers
    calls: list[int] = []
    decoder = every_decoder.decoder(maker.fingerprint)
    decode = decoder.decode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "decode", lambda observation: calls.append(len(observation)) or decode(observation))
        frames = [pack(maker.frame(picture, sequence)) for sequence, picture in enumerate(pictures.values())]
        receiver.run_batch([Message(data, time.perf_counter_ns()) for data in frames])
    assert calls == [len(pictures)]
    assert receiver.batches == {len(pictures): 1}


def test_frames_of_several_decoders_are_no_batch(
    receivers: tuple[Receiver, Receiver], every_codec: ModelSet, pictures: dict[str, RGBImage]
) -> None:
    receiver, _ = receivers
    makers = [FrameMaker(every_codec, num_symbols) for num_symbols in (16, 64)]
    few = list(pictures.values())[:6]
    frames = [pack(makers[place % 3 == 0].frame(picture, place)) for place, picture in enumerate(few)]
    assert len(receiver.run_batch([Message(data, time.perf_counter_ns()) for data in frames]).matches) == 6
    assert receiver.batches == {2: 1, 4: 1}


def test_each_frame_tells_its_own_wait(receiver: Receiver, maker: FrameMaker, pictures: dict[str, RGBImage]) -> None:
    now_ns = time.perf_counter_ns()
    frames = [pack(maker.frame(picture, sequence)) for sequence, picture in enumerate(pictures.values())][:3]
    waited_ms = (500, 100, 0)
    messages = [Message(data, now_ns - ms * 1_000_000) for data, ms in zip(frames, waited_ms, strict=True)]
    matches = receiver.run_batch(messages).matches
    for match, ms in zip(matches, waited_ms, strict=True):
        assert match.stage_ms["receive_to_match"] > ms + match.stage_ms["decode"] + match.stage_ms["search"]
        assert list(match.stage_ms) == ["unpack", "dequantize", "decode", "search", "receive_to_match"]
    assert len({match.stage_ms["search"] for match in matches}) == 1, "the search was one call"
    stages = receiver.clock.summary()
    assert {stages[name].num_samples for name in ("decode", "search", "receive_to_match")} == {3}


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

        def decode_slowly(observation: np.ndarray) -> np.ndarray:
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
    with pytest.raises(ConfigError, match=r"batch-size must be 1\.\.256 and batch-delay-ms 0\.\.1000"):
        BatchRule(frames, delay_ms)
