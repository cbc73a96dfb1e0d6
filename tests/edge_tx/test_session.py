"""A transmitter in this process, from its configuration to its summary."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_tx.session import SourceConfig, TransmitterConfig, run_transmitter
from engines.models.model_set import ModelSet
from semlink.cli.output import stderr_console
from semlink.errors import ConfigError, ModelSetError, TransportError
from semlink.frame import Frame, unpack
from semlink.rates import Rate, parse_rate
from semlink.transport import FrameReceiver
from tests.support.deadlines import DEADLINE_S

RATE = parse_rate("16")


class Recorder:
    """A receiver in a thread that keeps the frames of one stream."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._receiver = FrameReceiver("tcp://127.0.0.1:*")
        self.endpoint = self._receiver.endpoint
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._record, daemon=True)
        self._thread.start()

    def _record(self) -> None:
        with self._receiver as receiver:
            while not self._stop.is_set():
                data = receiver.receive(0.05)
                if data is not None:
                    self.frames.append(unpack(data))
                    if self.frames[-1].is_end_of_stream:
                        return

    def wait_for_the_end(self) -> list[Frame]:
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "no end of stream arrived"
        return self.frames

    def close(self) -> None:
        self._stop.set()
        self._thread.join(DEADLINE_S)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


def config_of(model_set: ModelSet, folder: Path, *, rate: Rate | None = RATE, **changes: Any) -> TransmitterConfig:
    return TransmitterConfig(source=SourceConfig(path=folder), model_set=str(model_set.folder), rate=rate, **changes)


class TestRun:
    def test_a_folder_is_sent_and_summed_up(
        self, model_set: ModelSet, picture_folder: Path, recorder: Recorder
    ) -> None:
        run = run_transmitter(config_of(model_set, picture_folder, connect=recorder.endpoint), stderr_console())
        *frames, end = recorder.wait_for_the_end()
        assert run.failure is None
        assert (run.summary.images_sent, run.summary.images_skipped, run.summary.interrupted) == (12, 0, False)
        assert run.summary.sent_by_num_symbols == {16: 12}
        assert run.summary.sent_by_codec == {"synthetic-codec": 12}
        assert set(run.summary.stage_latency_ms) == {"preprocess", "encode", "pack", "send"}
        assert ([frame.sequence for frame in frames], end.sequence) == (list(range(12)), 12)
        assert {f"{frame.stream_id:016x}" for frame in frames} == {run.summary.stream}

    def test_the_limit_ends_the_stream(self, model_set: ModelSet, picture_folder: Path, recorder: Recorder) -> None:
        config = config_of(model_set, picture_folder, connect=recorder.endpoint, limit=2)
        run = run_transmitter(config, stderr_console())
        assert (run.summary.images_sent, recorder.wait_for_the_end()[-1].sequence) == (2, 2)

    def test_a_failure_comes_with_the_summary(self, model_set: ModelSet, picture_folder: Path) -> None:
        with FrameReceiver("tcp://127.0.0.1:*") as probe:
            nobody = probe.endpoint
        config = config_of(model_set, picture_folder, connect=nobody, peer_timeout_s=0.1)
        run = run_transmitter(config, stderr_console())
        assert isinstance(run.failure, TransportError)
        assert run.summary.images_sent == 0

    def test_a_failure_before_the_first_image_is_raised(self, model_set: ModelSet, picture_folder: Path) -> None:
        config = config_of(model_set, picture_folder, rate=parse_rate("256"))
        with pytest.raises(ModelSetError, match="256 symbols"):
            run_transmitter(config, stderr_console())

    def test_one_codec_for_each_rate_cannot_follow_the_snr(self, model_set: ModelSet, picture_folder: Path) -> None:
        config = config_of(model_set, picture_folder, rate=None, feedback="tcp://127.0.0.1:5557")
        with pytest.raises(ConfigError, match="one code for all rates, such as nested; got synthetic-codec"):
            run_transmitter(config, stderr_console())


class TestConfig:
    def test_a_rate_that_follows_reports_needs_their_address(self) -> None:
        with pytest.raises(ConfigError, match="name their address with --feedback"):
            TransmitterConfig(source=SourceConfig(path=Path()), rate=None)

    def test_a_codec_beside_entries_needs_reports(self) -> None:
        with pytest.raises(ConfigError, match="name --feedback"):
            TransmitterConfig(source=SourceConfig(path=Path()), rate=RATE, codec="kbsc", entries=Path("entries.npz"))

    @pytest.mark.parametrize("source", [{}, {"path": Path(), "video": "0"}], ids=["none", "both"])
    def test_one_source(self, source: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="name one source"):
            SourceConfig(**source)

    def test_a_video_is_not_watched(self) -> None:
        with pytest.raises(ConfigError, match="--watch is for folders"):
            SourceConfig(video="0", watch=True)

    @pytest.mark.parametrize(
        ("source", "is_endless"),
        [
            (SourceConfig(path=Path()), False),
            (SourceConfig(path=Path(), watch=True), True),
            (SourceConfig(video="film.mp4"), False),
            (SourceConfig(video="/dev/video0"), True),
        ],
    )
    def test_only_the_user_ends_a_camera_or_a_watched_folder(self, source: SourceConfig, is_endless: bool) -> None:
        assert source.is_endless is is_endless
