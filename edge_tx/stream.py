"""Streaming: pace the images, send each, keep a log, and sum up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import msgspec
from typing_extensions import Self

from edge_tx.pipeline import SentFrame, Transmitter
from edge_tx.sources import SkippedImages, SourceImage
from semlink.errors import ConfigError, ResultsError
from semlink.interrupt import Interruption
from semlink.machine import peak_resident_mb
from semlink.timing import LatencySummary

__all__ = ["Pacer", "SentLog", "TransmitterSummary", "stream_images"]


class Pacer:
    """Holds a stream to a number of images per second; None lets it run.

    A late image goes out at once and the beat is kept, so a slow one costs nothing but itself.
    """

    def __init__(self, fps: float | None, interruption: Interruption) -> None:
        if fps is not None and not fps > 0:
            raise ConfigError(f"fps must be positive, got {fps:g}")
        self._interval_s = None if fps is None else 1.0 / fps
        self._next_s = time.monotonic()
        self._interruption = interruption

    def wait(self) -> bool:
        """Return when the next image is due; False if the user wants to leave instead."""
        if self._interval_s is not None:
            self._interruption.wait(self._next_s - time.monotonic())
            self._next_s = max(self._next_s + self._interval_s, time.monotonic() - self._interval_s)
        return not self._interruption.is_set()


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
            "codec": sent.codec,
            "num_symbols": sent.num_symbols,
            "num_bytes": sent.num_bytes,
            "payload_cbr": sent.payload_cbr,
            "total_cbr": sent.total_cbr,
            "stage_ms": sent.stage_ms,
        }
        try:
            self._file.write(msgspec.json.encode(line).decode() + "\n")
        except OSError as error:
            raise ResultsError(f"{self._path}: {error.strerror}; free some space and start again") from None


def stream_images(
    transmitter: Transmitter,
    images: Iterable[SourceImage],
    pacer: Pacer,
    log: SentLog,
    *,
    prepare: Callable[[Transmitter], None] | None = None,
) -> None:
    """Send every image, each taken from its source when it is due, until the user wants to leave.

    `prepare` may change the transmitter's model and rate before each.
    """
    images = iter(images)
    while pacer.wait():
        source = next(images, None)
        if source is None:
            return
        if prepare is not None:
            prepare(transmitter)
        log.write(source.name, transmitter.run_once(source.image, capture_time_ns=source.capture_time_ns))


class TransmitterSummary(msgspec.Struct, frozen=True):
    """What a transmitter did, as `--json` prints it."""

    stream: str
    images_sent: int
    sent_by_codec: dict[str, int]
    sent_by_num_symbols: dict[int, int]
    images_skipped: int
    skipped: list[str]
    interrupted: bool
    throughput_images_s: float
    peak_resident_mb: float
    stage_latency_ms: dict[str, LatencySummary]

    @classmethod
    def of(
        cls, transmitter: Transmitter, skipped: SkippedImages, *, interrupted: bool, duration_s: float
    ) -> TransmitterSummary:
        """Sum up a stream that took `duration_s` from its first image's turn to its end."""
        return cls(
            stream=f"{transmitter.stream_id:016x}",
            images_sent=transmitter.num_sent,
            sent_by_codec=dict(transmitter.sent_by_codec),
            sent_by_num_symbols=dict(transmitter.sent_by_num_symbols),
            images_skipped=skipped.count,
            skipped=skipped.reasons,
            interrupted=interrupted,
            throughput_images_s=transmitter.num_sent / duration_s if duration_s > 0 else 0.0,
            peak_resident_mb=peak_resident_mb(),
            stage_latency_ms=transmitter.clock.summary(),
        )

    def counts(self) -> dict[str, Any]:
        """The part that is not latency, for a table."""
        return {
            "stream": self.stream,
            "images sent": self.images_sent,
            **{f"of them with {codec}": count for codec, count in self.sent_by_codec.items()},
            **{f"of {num_symbols} symbols": count for num_symbols, count in self.sent_by_num_symbols.items()},
            "images skipped": self.images_skipped,
            "throughput, images/s": f"{self.throughput_images_s:.1f}",
            "peak memory, MB": f"{self.peak_resident_mb:.0f}",
        }

    def to_json(self) -> str:
        """One line of JSON."""
        return msgspec.json.encode(self).decode()
