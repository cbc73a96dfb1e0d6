"""A stream is paced, sent in order and logged; time is the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Plan, Transmitter
from edge_tx.sources import SourceImage
from edge_tx.stream import Pacer, SentLog, stream_images
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, ResultsError
from semlink.frame import unpack
from semlink.image import LoadedImage, RGBImage
from semlink.interrupt import Interruption
from semlink.rates import parse_rate


class Clock(Interruption):
    """A clock that waiting advances, and an interruption that is its user's."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0

    def wait(self, timeout_s: float) -> bool:
        if not self.is_set():
            self.now_s += max(0.0, timeout_s)
        return self.is_set()

    def pacer(self, fps: float | None) -> Pacer:
        return Pacer(fps, self, now_s=lambda: self.now_s)


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestPacer:
    def test_images_are_due_at_even_intervals_from_the_first(self, clock: Clock) -> None:
        pacer, due_s = clock.pacer(10.0), []
        for _ in range(4):
            assert pacer.wait()
            due_s.append(clock.now_s)
            clock.now_s += 0.03  # the image's encoding
        assert due_s == pytest.approx([100.0, 100.1, 100.2, 100.3])

    def test_without_a_pace_nothing_waits(self, clock: Clock) -> None:
        pacer = clock.pacer(None)
        assert all(pacer.wait() for _ in range(3))
        assert clock.now_s == 100.0

    def test_no_burst_follows_a_pause(self, clock: Clock) -> None:
        pacer, due_s = clock.pacer(10.0), []
        pacer.wait()
        clock.now_s += 1.0
        for _ in range(4):
            pacer.wait()
            due_s.append(clock.now_s - 101.0)
        # The late image, one that was due an interval ago, one that is due now, and the next.
        assert due_s == pytest.approx([0.0, 0.0, 0.0, 0.1])

    def test_an_interruption_ends_the_wait(self, clock: Clock) -> None:
        pacer = clock.pacer(0.001)
        assert pacer.wait()
        clock.set()
        assert not pacer.wait()
        assert clock.now_s == 100.0

    @pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
    def test_impossible_pace_is_refused(self, fps: float) -> None:
        with pytest.raises(ConfigError, match="fps must be positive"):
            Pacer(fps, Interruption())


@pytest.fixture
def sent() -> list[bytes]:
    return []


@pytest.fixture
def transmitter(model_set: ModelSet, sent: list[bytes]) -> Transmitter:
    rate = parse_rate("16")
    return Transmitter(load_transmitter_model(model_set, rate), rate, sent.append)


@pytest.fixture
def images(pictures: dict[str, RGBImage]) -> list[SourceImage]:
    return [
        SourceImage(name, LoadedImage(pixels, *pixels.shape[:2]), capture_time_ns)
        for capture_time_ns, (name, pixels) in enumerate(pictures.items())
    ]


class TestStreamImages:
    def test_every_image_is_sent_and_logged_in_order(
        self, transmitter: Transmitter, images: list[SourceImage], sent: list[bytes], clock: Clock, tmp_path: Path
    ) -> None:
        path = tmp_path / "sent.jsonl"
        with SentLog(path) as log:
            stream_images(transmitter, images, clock.pacer(None), log)
        frames = [unpack(data) for data in sent]
        lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
        assert [frame.capture_time_ns for frame in frames] == list(range(len(images)))
        assert [(line["name"], line["frame"]) for line in lines] == [
            (image.name, str(frame.frame_id)) for image, frame in zip(images, frames, strict=True)
        ]
        assert [(line["stream_id"], line["sequence"]) for line in lines] == [
            (f"{frame.stream_id:016x}", frame.sequence) for frame in frames
        ], "as the receiver's results have them"
        assert {line["num_bytes"] for line in lines} == {len(data) for data in sent}

    def test_each_image_has_a_plan_of_its_own(
        self, transmitter: Transmitter, images: list[SourceImage], sent: list[bytes], model_set: ModelSet, clock: Clock
    ) -> None:
        rates = [parse_rate("16"), parse_rate("64")]
        plans = iter([Plan(load_transmitter_model(model_set, rate), rate) for rate in rates])
        with SentLog(None) as log:
            stream_images(transmitter, images[:2], clock.pacer(None), log, plan=lambda: next(plans))
        assert [unpack(data).rate for data in sent] == rates

    def test_an_interruption_takes_no_further_image(
        self, transmitter: Transmitter, images: list[SourceImage], sent: list[bytes], clock: Clock
    ) -> None:
        def interrupted_after_two() -> Iterator[SourceImage]:
            yield images[0]
            clock.set()
            yield images[1]
            pytest.fail("a third image was taken")

        with SentLog(None) as log:
            stream_images(transmitter, interrupted_after_two(), clock.pacer(None), log)
        assert len(sent) == 2


class TestSentLog:
    def test_a_file_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ResultsError, match=r"sent\.jsonl: No such file"), SentLog(tmp_path / "none" / "sent.jsonl"):
            pass

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
    def test_a_full_disk_is_named(self, transmitter: Transmitter, pictures: dict[str, RGBImage]) -> None:
        sent = transmitter.run_once(LoadedImage(np.zeros((9, 9, 3), np.uint8), 9, 9))
        with SentLog(Path("/dev/full")) as log, pytest.raises(ResultsError, match="free some space"):
            log.write("a.png", sent)
