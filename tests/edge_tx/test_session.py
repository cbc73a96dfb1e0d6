"""A transmitter in this process, from its configuration to its summary."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edge_tx.config import SourceConfig, TransmitterConfig
from edge_tx.session import run_transmitter
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from semlink.cli.output import stderr_console
from semlink.errors import ConfigError, ModelSetError, TransportError
from semlink.feedback import ReportPublisher
from semlink.frame import Frame, unpack
from semlink.rates import Rate, parse_rate
from semlink.receiver_report import ReceiverReport
from semlink.transport import FrameReceiver
from tests.support.codebooks import small_codebook
from tests.support.deadlines import DEADLINE_S
from tests.support.sockets import free_port

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


@contextlib.contextmanager
def publishing(report: ReceiverReport) -> Iterator[str]:
    """Publish a report again and again; the address."""
    stop = threading.Event()
    with ReportPublisher("tcp://127.0.0.1:*") as publisher:

        def publish() -> None:
            while not stop.wait(0.01):
                publisher.publish(report)

        thread = threading.Thread(target=publish, daemon=True)
        thread.start()
        try:
            yield publisher.endpoint
        finally:
            stop.set()
            thread.join(DEADLINE_S)


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

    @pytest.mark.parametrize("watch", [True, False])
    def test_images_that_a_watch_leaves_out_are_counted(
        self, model_set: ModelSet, picture_folder: Path, recorder: Recorder, watch: bool
    ) -> None:
        shown = io.StringIO()
        console = Console(file=shown, width=300)
        source = SourceConfig(path=picture_folder, watch=watch)
        config = replace(config_of(model_set, picture_folder, connect=recorder.endpoint, limit=0), source=source)
        run_transmitter(config, console)
        assert (f"12 images that are in {picture_folder} already are not sent" in shown.getvalue()) is watch

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


class TestCodebook:
    """A transmitter with the codebook of a knowledge base."""

    @pytest.fixture
    @staticmethod
    def codebook(model_set: ModelSet) -> KnowledgeBaseCodebook:
        return small_codebook(model_set.encoder_fingerprint)

    @pytest.fixture
    @staticmethod
    def path(codebook: KnowledgeBaseCodebook, tmp_path: Path) -> Path:
        path = tmp_path / "codebook.npz"
        path.write_bytes(codebook.content)
        return path

    def test_without_reports_it_is_used_from_the_first_frame(
        self, model_set: ModelSet, picture_folder: Path, path: Path, codebook: KnowledgeBaseCodebook, recorder: Recorder
    ) -> None:
        rate, log = parse_rate("128"), path.with_name("sent.jsonl")  # a rate that the set's codec lacks
        config = config_of(model_set, picture_folder, connect=recorder.endpoint, rate=rate, codebook=path, log=log)
        shown = io.StringIO()
        console = Console(file=shown, width=300)
        run = run_transmitter(config, console)
        *frames, _ = recorder.wait_for_the_end()
        assert run.failure is None
        assert run.summary.sent_by_codec == {"adapted": 12}
        assert {frame.fingerprint for frame in frames} == {codebook.fingerprint(rate)}
        assert "sending 128 symbols an image with adapted to" in shown.getvalue()
        assert {json.loads(line)["codec"] for line in log.read_text().splitlines()} == {"adapted"}

    @pytest.mark.parametrize(("decodes_it", "codec"), [(True, "adapted"), (False, "synthetic-codec")])
    def test_with_reports_it_is_used_if_the_receiver_decodes_it(
        self,
        model_set: ModelSet,
        picture_folder: Path,
        path: Path,
        codebook: KnowledgeBaseCodebook,
        recorder: Recorder,
        caplog: pytest.LogCaptureFixture,
        decodes_it: bool,
        codec: str,
    ) -> None:
        shown = io.StringIO()
        console = Console(file=shown, width=300)
        with publishing(ReceiverReport(knowledge_base="0" * 64, codebooks=(codebook.sha256,) * decodes_it)) as feedback:
            connections = {"connect": recorder.endpoint, "feedback": feedback}
            run = run_transmitter(config_of(model_set, picture_folder, codebook=path, **connections), console)
        recorder.wait_for_the_end()
        assert run.summary.sent_by_codec == {codec: 12}
        assert caplog.text.count("semlink kb export-codebook") == (not decodes_it)
        announced = shown.getvalue()
        assert ", and with adapted once the receiver reports that it decodes it; image encoder in" in announced

    def test_the_codec_for_any_receiver_until_a_report_arrives(
        self,
        model_set: ModelSet,
        picture_folder: Path,
        path: Path,
        recorder: Recorder,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        feedback = f"tcp://127.0.0.1:{free_port()}"
        config = config_of(model_set, picture_folder, connect=recorder.endpoint, codebook=path, feedback=feedback)
        run = run_transmitter(config, stderr_console())
        recorder.wait_for_the_end()
        assert run.summary.sent_by_codec == {"synthetic-codec": 12}
        (warning,) = (record for record in caplog.records if record.levelno == logging.WARNING)
        assert warning.getMessage() == f"no report arrived from {feedback}: is an rx with --feedback there?"

    def test_of_another_encoder_or_with_one_pilot_it_is_refused_at_the_start(
        self, model_set: ModelSet, other_model_set: ModelSet, picture_folder: Path, path: Path
    ) -> None:
        with pytest.raises(ModelSetError, match=f"{path}: a codebook for the image encoder"):
            run_transmitter(config_of(other_model_set, picture_folder, codebook=path), stderr_console())
        with pytest.raises(ConfigError, match="with adapted send none, or at least 2"):
            run_transmitter(config_of(model_set, picture_folder, codebook=path, num_pilots=1), stderr_console())


class TestConfig:
    def test_a_rate_that_follows_reports_needs_their_address(self) -> None:
        with pytest.raises(ConfigError, match="name their address with --feedback"):
            TransmitterConfig(source=SourceConfig(path=Path()), rate=None)

    def test_a_codec_beside_entries_needs_reports(self) -> None:
        with pytest.raises(ConfigError, match="name --feedback"):
            TransmitterConfig(source=SourceConfig(path=Path()), rate=RATE, codec="kbsc", entries=Path("entries.npz"))

    def test_a_codec_beside_a_codebook_needs_reports(self) -> None:
        with pytest.raises(ConfigError, match="--codec beside --codebook is what to fall back to"):
            TransmitterConfig(source=SourceConfig(path=Path()), rate=RATE, codec="kbsc", codebook=Path("codebook.npz"))

    def test_a_choice_between_entries_and_codebook_needs_reports(self) -> None:
        files = {"entries": Path("entries.npz"), "codebook": Path("codebook.npz")}
        source = SourceConfig(path=Path())
        with pytest.raises(ConfigError, match="a choice by the receiver's reports: name --feedback"):
            TransmitterConfig(source=source, rate=RATE, **files)
        TransmitterConfig(source=source, rate=RATE, codec="kbsc", feedback="tcp://127.0.0.1:5557", **files)

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
