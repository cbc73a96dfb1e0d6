"""A stream of images: paced, sent one after another, and logged."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TextIO

import msgspec
from typing_extensions import Self

from edge_tx.pipeline import Plan, SentFrame, Transmitter
from edge_tx.sources import SourceImage
from semlink.errors import ConfigError, ResultsError
from semlink.interrupt import Interruption

__all__ = ["Pacer", "SentLog", "stream_images"]


class Pacer:
    """Paces a stream to a number of images per second; None does not wait.

    A late image is sent at once, and the schedule stays, so one slow image delays no other. After a longer pause the
    schedule restarts one interval back, so that no burst follows.

    Parameters
    ----------
    now_s : clock of the schedule [s]
    """

    def __init__(
        self, fps: float | None, interruption: Interruption, *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        if fps is not None and not fps > 0:
            raise ConfigError(f"fps must be positive, got {fps:g}")
        self._interval_s = None if fps is None else 1.0 / fps
        self._next_s = now_s()
        self._interruption, self._now_s = interruption, now_s

    def wait(self) -> bool:
        """Return when the next image is due; False if an interruption ends the stream instead."""
        if self._interval_s is not None:
            self._interruption.wait(self._next_s - self._now_s())
            self._next_s = max(self._next_s + self._interval_s, self._now_s() - self._interval_s)
        return not self._interruption.is_set()


class SentLog:
    """A JSON line for each sent image: frame id, name, capture time, stage times; nothing without a path."""

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
        # After a failed write the buffer still holds the line, so closing would fail again.
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def write(self, name: str, sent: SentFrame) -> None:
        """Append one line; ResultsError if the disk is full."""
        if self._file is None:
            return
        line = {
            "frame": str(sent.frame_id),
            "stream_id": f"{sent.frame_id.stream_id:016x}",
            "sequence": sent.frame_id.sequence,
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
    plan: Callable[[], Plan] | None = None,
) -> None:
    """Send every image when it is due, until the source or an interruption ends the stream.

    Parameters
    ----------
    plan : plans each image; None keeps the transmitter's plan
    """
    images = iter(images)
    while pacer.wait():
        source = next(images, None)
        if source is None:
            return
        planned = None if plan is None else plan()
        log.write(source.name, transmitter.run_once(source.image, planned, capture_time_ns=source.capture_time_ns))
