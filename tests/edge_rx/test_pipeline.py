"""The data path, with good frames and with every kind of bad bytes."""

from __future__ import annotations

import io
import logging
import re
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from edge_rx.decoders.options import Answer, DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.noise import NoiseEstimator
from edge_rx.pipeline import END_TO_END, Receiver
from edge_rx.results import ResultsLog
from edge_rx.service import StopRule
from edge_rx.summary import print_summary, summarize
from engines.models.model_set import ModelSet
from semlink.errors import DecodeError, ModelSetError
from semlink.frame import HEADER_BYTES, MAX_FRAME_BYTES, FrameId, pack
from semlink.image import RGBImage
from semlink.iq import CodesFormat
from tests.support.frames import FrameMaker
from tests.support.model_sets import make_model_set


@pytest.fixture
def picture(pictures: dict[str, RGBImage]) -> RGBImage:
    return pictures["boat/1.png"]


def resigned(data: bytes, offset: int, field: bytes) -> bytes:
    """A packed frame with other header bytes at `offset` and a header checksum that holds."""
    header = data[:offset] + field + data[offset + len(field) : HEADER_BYTES - 4]
    return header + struct.pack("<I", zlib.crc32(header)) + data[HEADER_BYTES:]


@pytest.mark.parametrize("codes_format", list(CodesFormat))
@pytest.mark.parametrize("num_pilots", [0, 4])
def test_every_picture_is_matched(
    receiver: Receiver,
    knowledge_base: KnowledgeBase,
    maker: FrameMaker,
    pictures: dict[str, RGBImage],
    codes_format: CodesFormat,
    num_pilots: int,
) -> None:
    for sequence, (name, picture) in enumerate(pictures.items()):
        frame = maker.frame(picture, sequence, codes_format=codes_format, num_pilots=num_pilots)
        match = receiver.run_once(pack(frame))
        assert match is not None
        assert (match.source, match.label) == (name, name.split("/")[0])
        assert match.knowledge_base == knowledge_base.fingerprint.hex()
        assert match.score == pytest.approx(1.0, abs=2e-2)
        assert match.frame_id == FrameId(maker.stream_id, sequence)
        assert (match.num_symbols, match.num_pilots) == (64, num_pilots)
        assert match.payload_cbr == pytest.approx(64 / (10 * 12 * 3))
        assert match.total_cbr == pytest.approx((64 + num_pilots) / (10 * 12 * 3))
    assert receiver.num_matches == receiver.num_accepted == len(pictures)
    assert not receiver.rejected


def test_pilots_undo_a_channels_gain(receiver: Receiver, maker: FrameMaker, picture: RGBImage) -> None:
    turned = maker.frame(picture, 0, num_pilots=8, gain=0.5 * np.exp(2.0j))
    match = receiver.run_once(pack(turned))
    assert match is not None
    assert match.source == "boat/1.png"
    assert match.score > 0.98


def test_times_are_consistent(receiver: Receiver, maker: FrameMaker, picture: RGBImage) -> None:
    capture_time_ns = time.time_ns()
    match = receiver.run_once(pack(maker.frame(picture, 0, capture_time_ns=capture_time_ns)))
    assert match is not None
    assert match.matched_time_ns >= match.capture_time_ns == capture_time_ns
    assert match.latency_ms == (match.matched_time_ns - match.capture_time_ns) / 1e6
    assert list(match.stage_ms) == ["unpack", "dequantize", "decode", "search", "receive_to_match"]
    assert sum(list(match.stage_ms.values())[:4]) <= match.stage_ms["receive_to_match"]
    assert receiver.clock.summary()[END_TO_END].num_samples == 1


def test_an_unknown_picture_size_leaves_the_cbr_unknown(
    receiver: Receiver, maker: FrameMaker, picture: RGBImage
) -> None:
    match = receiver.run_once(pack(replace(maker.frame(picture, 0), source_height_px=0, source_width_px=0)))
    assert match is not None
    assert match.payload_cbr is match.total_cbr is None


@pytest.mark.parametrize(("min_confidence", "is_accepted"), [(None, True), (0.5, True), (0.9999, False)])
def test_a_low_confidence_is_marked(
    model_set: ModelSet,
    knowledge_base: KnowledgeBase,
    maker: FrameMaker,
    picture: RGBImage,
    min_confidence: float | None,
    is_accepted: bool,
) -> None:
    receiver = Receiver(Decoders.of(model_set, knowledge_base), knowledge_base, min_confidence=min_confidence)
    match = receiver.run_once(pack(maker.frame(picture, 0)))
    assert match is not None
    assert match.confidence is not None
    assert 0.5 < match.confidence < 0.9999, "or the bounds decide nothing"
    assert match.accepted is is_accepted
    assert (receiver.num_matches, receiver.num_accepted) == (1, int(is_accepted))


def test_repeats_are_dropped_and_counted(receiver: Receiver, maker: FrameMaker, picture: RGBImage) -> None:
    data = pack(maker.frame(picture, 0))
    assert receiver.run_once(data) is not None
    assert receiver.run_once(data) is None
    stream = receiver.tracker.streams[maker.stream_id]
    assert (stream.num_received, stream.num_duplicated) == (1, 1)
    assert not receiver.rejected


def test_the_end_of_a_stream_tells_what_its_tail_lost(receiver: Receiver, maker: FrameMaker, picture: RGBImage) -> None:
    for sequence in (0, 3, 2):
        receiver.run_once(pack(maker.frame(picture, sequence)))
    assert receiver.run_once(pack(maker.end(6))) is None
    stream = receiver.tracker.streams[maker.stream_id]
    assert (stream.num_sent, stream.num_lost, stream.num_reordered) == (6, 3, 1)


BAD = {
    "empty": (lambda data: data[:0], "truncated"),
    "truncated header": (lambda data: data[:50], "truncated"),
    "truncated payload": (lambda data: data[:-1], "truncated"),
    "oversized": (lambda data: data.ljust(MAX_FRAME_BYTES + 1, b"\0"), "oversized"),
    "foreign": (lambda data: b"HTTP" + data[4:], "foreign bytes"),
    "another version": (lambda data: data[:4] + b"\x09" + data[5:], "frame version N"),
    "flipped header bit": (
        lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
        "header checksum does not match",
    ),
    "flipped payload bit": (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "payload checksum does not match"),
    "another codec": (lambda data: resigned(data, 32, bytes(16)), "unknown models"),
    "huge sequence": (lambda data: resigned(data, 16, b"\xff" * 8), "implausible header"),
    "huge time": (lambda data: resigned(data, 24, b"\xff" * 8), "implausible header"),
}


@pytest.mark.parametrize(("damage", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_bytes_are_counted_named_and_dropped(
    receiver: Receiver,
    maker: FrameMaker,
    picture: RGBImage,
    damage: Callable[[bytes], bytes],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = damage(pack(maker.frame(picture, 0)))
    with caplog.at_level(logging.INFO):
        assert receiver.run_once(data) is None
        assert (
            receiver.run_once(resigned(data, 16, struct.pack("<Q", 1)) if reason == "unknown models" else data) is None
        )
    assert receiver.rejected == {reason: 2}
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"], "a flood is not a flood in the log"
    assert receiver.run_once(pack(maker.frame(picture, 2))) is not None, "the next good frame is answered"


def test_frames_of_another_model_set_are_refused_by_name(
    receiver: Receiver,
    other_model_set: ModelSet,
    model_set: ModelSet,
    maker: FrameMaker,
    picture: RGBImage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stranger = replace(maker.frame(picture, 0), fingerprint=other_model_set.codec().fingerprint(maker.rate))
    assert receiver.run_once(pack(stranger)) is None
    assert stranger.fingerprint.hex() in caplog.text
    assert 'model set "synthetic"' in caplog.text


def test_a_stranger_neither_is_counted_nor_keeps_the_receiver_waiting(
    receiver: Receiver, other_model_set: ModelSet, maker: FrameMaker, picture: RGBImage
) -> None:
    receiver.run_once(pack(maker.frame(picture, 0)))
    receiver.run_once(pack(maker.end(1)))
    theirs = {"stream_id": 5, "fingerprint": other_model_set.codec().fingerprint(maker.rate)}
    assert receiver.run_once(pack(replace(maker.frame(picture, 0), **theirs))) is None
    assert receiver.run_once(pack(replace(maker.end(1), **theirs))) is None
    assert receiver.rejected == {"unknown models": 1}, "the picture, and not the message that ends the stream"
    assert list(receiver.tracker.streams) == [maker.stream_id]
    assert StopRule(until_end=True).is_met(receiver, idle_s=1.0)


def test_a_receiver_that_starts_in_mid_stream_says_so(
    receiver: Receiver, maker: FrameMaker, picture: RGBImage, tmp_path: Path
) -> None:
    for sequence in (1000, 1002):
        receiver.run_once(pack(maker.frame(picture, sequence)))
    receiver.run_once(pack(maker.end(1004)))
    with ResultsLog(tmp_path) as results:
        summary = summarize(receiver, results, num_entries=12)
    assert (summary.frames_received, summary.frames_lost, summary.frames_before_start) == (2, 2, 1000)
    shown = io.StringIO()
    print_summary(summary, console=Console(file=shown, width=100))
    assert re.search(r"frames lost +│ 2 ", shown.getvalue())
    assert re.search(r"frames before the first one received +│ 1000 ", shown.getvalue())


def test_a_rate_that_the_set_lacks_is_refused(
    tmp_path: Path, knowledge_base: KnowledgeBase, maker: FrameMaker, picture: RGBImage
) -> None:
    only_16 = make_model_set(tmp_path, rates=(16,))
    receiver = Receiver(Decoders.of(only_16, knowledge_base), knowledge_base)
    assert receiver.run_once(pack(maker.frame(picture, 0))) is None
    assert receiver.rejected == {"unknown models": 1}


@pytest.mark.parametrize("amplitude", [1e7, 3e38])
@pytest.mark.parametrize("num_pilots", [0, 1, 4])
def test_symbols_that_no_radio_gives_are_refused(
    receiver: Receiver, maker: FrameMaker, picture: RGBImage, amplitude: float, num_pilots: int
) -> None:
    frame = maker.frame(picture, 0, codes_format=CodesFormat.CF32, num_pilots=num_pilots)
    frame = replace(frame, codes=np.full_like(frame.codes, amplitude))
    assert receiver.run_once(pack(frame)) is None
    assert receiver.rejected.total() == 1


@pytest.mark.parametrize("num_pilots", [0, 4])
def test_silence_has_no_meaning(receiver: Receiver, maker: FrameMaker, picture: RGBImage, num_pilots: int) -> None:
    frame = maker.frame(picture, 0, num_pilots=num_pilots)
    assert receiver.run_once(pack(replace(frame, codes=np.zeros_like(frame.codes)))) is None
    assert receiver.rejected == {"symbols decode to no direction": 1}


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=2000))
def test_any_bytes_are_survived(receiver: Receiver, data: bytes) -> None:
    assert receiver.run_once(data) is None


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(codes=st.binary(min_size=64 * 8 + 8 * 8, max_size=64 * 8 + 8 * 8), num_pilots=st.sampled_from([0, 1, 8]))
def test_any_payload_is_survived(
    receiver: Receiver, maker: FrameMaker, pictures: dict[str, RGBImage], codes: bytes, num_pilots: int
) -> None:
    """Foreign floats, subnormals and all, in a frame whose checksums hold."""
    values = np.frombuffer(codes, np.float32).reshape(-1, 2)[: 64 + num_pilots]
    frame = maker.frame(pictures["cat/0.png"], 0, codes_format=CodesFormat.CF32, num_pilots=num_pilots)
    matches, rejected = receiver.num_matches, receiver.rejected.total()
    receiver.tracker.streams.clear()
    match = receiver.run_once(pack(replace(frame, codes=values)))
    assert (receiver.num_matches - matches) + (receiver.rejected.total() - rejected) == 1
    assert match is None or -1.001 <= match.score <= 1.001


def test_reasons_stay_few_whatever_a_peer_sends(receiver: Receiver, maker: FrameMaker, picture: RGBImage) -> None:
    rng = np.random.default_rng(0)
    data = pack(maker.frame(picture, 0))
    for sequence in range(300):
        mangled = resigned(data, int(rng.integers(4, HEADER_BYTES - 8)), rng.bytes(4))
        receiver.run_once(resigned(mangled, 16, struct.pack("<Q", sequence)))
    assert receiver.rejected.total() > 100
    assert len(receiver.rejected) < 15


def test_a_set_without_a_codec_cannot_receive(tmp_path: Path, knowledge_base: KnowledgeBase) -> None:
    with pytest.raises(ModelSetError, match='model set "synthetic" has no codec'):
        Decoders.of(make_model_set(tmp_path, rates=()), knowledge_base)


@pytest.mark.parametrize(("answer", "network"), [("nearest", "decoder"), ("nearest", "encoder"), ("label", "encoder")])
def test_a_network_that_is_not_there_stops_the_start(
    tmp_path: Path, knowledge_base: KnowledgeBase, answer: Answer, network: str
) -> None:
    model_set = make_model_set(tmp_path, rates=(16,))
    (tmp_path / f"codec-16.{network}.onnx").unlink()
    with pytest.raises(ModelSetError, match=rf"codec-16\.{network}\.onnx: No such file"):
        Decoders.of(model_set, knowledge_base, DecoderOptions(answer=answer))


def test_symbols_of_another_rate_are_named(
    model_set: ModelSet, knowledge_base: KnowledgeBase, maker: FrameMaker
) -> None:
    decoder = Decoders.of(model_set, knowledge_base).decoder(maker.fingerprint)
    with pytest.raises(DecodeError, match=r"received \(67,\), rate 1/48 with 4 pilots has \(68,\)"):
        decoder.equalize(np.ones(67, np.complex64), num_pilots=4, noise=NoiseEstimator())
