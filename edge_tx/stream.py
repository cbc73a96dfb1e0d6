"""Streaming: pace the images, send each, keep a log, and sum up."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import msgspec
from typing_extensions import Self

from edge_tx.pipeline import SentFrame, Transmitter
from edge_tx.sources import SkippedImages, SourceImage
from semlink.errors import ConfigError, ResultsError
from semlink.timing import LatencySummary

__all__ = ["Pacer", "SentLog", "TransmitterSummary", "stream_images"]


class Pacer:
    """Holds a stream to a number of images per second; None lets it run.

    A late image goes out at once and the beat is kept, so a slow one costs nothing but itself.
    """

    def __init__(self, fps: float | None) -> None:
        if fps is not None and not fps > 0:
            raise ConfigError(f"fps must be positive, got {fps:g}")
        self._interval_s = None if fps is None else 1.0 / fps
        self._next_s = time.monotonic()

    @property
    def is_free(self) -> bool:
        """Whether images go out as fast as they come."""
        return self._interval_s is None

    def wait(self) -> None:
        """Return when the next image is due."""
        if self._interval_s is None:
            return
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        self._next_s = max(self._next_s + self._interval_s, time.monotonic() - self._interval_s)


class SentLog:
    """A JSON line for each image sent: frame id, name, capture time, stage times. No path, no log."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._file = self._path.open("w", encoding="utf-8", buffering=1)
            except OSError as error:
                raise ResultsError(f"{self._path}: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # After a failed write the buffer still holds the line, and closing fails the same way again.
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def write(self, name: str, sent: SentFrame) -> None:
        """Append one line; ResultsError if the disk is full."""
        if self._file is None:
            return
        line = {
            "frame": str(sent.frame_id),
            "name": name,
            "capture_time_ns": sent.capture_time_ns,
            "num_bytes": sent.num_bytes,
            "payload_cbr": sent.payload_cbr,
            "total_cbr": sent.total_cbr,
            "stage_ms": sent.stage_ms,
        }
        try:
            self._file.write(msgspec.json.encode(line).decode() + "\n")
        except OSError as error:
            raise ResultsError(f"{self._path}: {error.strerror}; free some space and start again") from None


def stream_images(transmitter: Transmitter, images: Iterable[SourceImage], pacer: Pacer, log: SentLog) -> None:
    """Send every image when it is due."""
    for source in images:
        pacer.wait()
        # A paced image has waited in memory by choice; its latency starts when its turn comes.
        capture_time_ns = source.capture_time_ns if pacer.is_free else time.time_ns()
        log.write(source.name, transmitter.run_once(source.image, capture_time_ns=capture_time_ns))


class TransmitterSummary(msgspec.Struct, frozen=True):
    """What a transmitter did, as `--json` prints it."""

    stream: str
    images_sent: int
    images_skipped: int
    skipped: list[str]
    interrupted: bool
    throughput_images_s: float
    peak_resident_mb: float
    stage_latency_ms: dict[str, LatencySummary]

    @classmethod
    def of(cls, transmitter: Transmitter, skipped: SkippedImages, *, interrupted: bool) -> TransmitterSummary:
        """Sum up a finished stream."""
        stages = transmitter.clock.summary()
        busy_ms = sum(stage.mean * stage.num_samples for stage in stages.values())
        return cls(
            stream=f"{transmitter.stream_id:016x}",
            images_sent=transmitter.num_sent,
            images_skipped=skipped.count,
            skipped=skipped.reasons,
            interrupted=interrupted,
            throughput_images_s=1e3 * transmitter.num_sent / busy_ms if busy_ms else 0.0,
            # Linux counts in KiB; the transmitter runs nowhere else.
            peak_resident_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            stage_latency_ms=stages,
        )

    def counts(self) -> dict[str, Any]:
        """The part that is not latency, for a table."""
        return {
            "stream": self.stream,
            "images sent": self.images_sent,
            "images skipped": self.images_skipped,
            "throughput, images/s": f"{self.throughput_images_s:.1f}",
            "peak memory, MB": f"{self.peak_resident_mb:.0f}",
        }

    def to_json(self) -> str:
        """One line of JSON."""
        return msgspec.json.encode(self).decode()
