"""The receiver's loop: messages from a socket, results on disk, a status line at an interval."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_rx.kb.watch import KnowledgeBaseWatch
from edge_rx.match import Match
from edge_rx.pipeline import Batch, Receiver
from edge_rx.reporter import Reporter
from edge_rx.results import ResultsLog
from semlink.errors import ConfigError
from semlink.interrupt import Interruption
from semlink.transport import FrameReceiver

__all__ = ["BatchRule", "Status", "StopRule", "serve"]

_log = logging.getLogger(__name__)

_POLL_S = 0.1
"""Longest wait for a message before the loop checks its reasons to stop."""
_MAX_BATCH = 256
"""Largest batch: its candidates take 32 MB of memory."""
_MAX_DELAY_MS = 1000
"""Longest wait of a frame for others, during which the loop cannot stop."""


@dataclass(frozen=True)
class StopRule:
    """When a receiver stops by itself; without a field set, never.

    Attributes
    ----------
    until_end : stop when every known stream has ended and no message arrived for `grace_s`
    max_matches : stop after this number of matches, at least 1
    idle_timeout_s : stop when no message arrived for this time since the start or the last answer [s]
    grace_s : time for a late stream or repeat after the last end [s]
    """

    until_end: bool = False
    max_matches: int | None = None
    idle_timeout_s: float | None = None
    grace_s: float = 0.5

    def __post_init__(self) -> None:
        if self.max_matches is not None and self.max_matches < 1:
            raise ConfigError(f"limit must be at least 1, got {self.max_matches}")
        if self.idle_timeout_s is not None and not self.idle_timeout_s > 0:
            raise ConfigError(f"idle-timeout-s must be above 0, got {self.idle_timeout_s:g}")

    def is_met(self, receiver: Receiver, *, idle_s: float) -> bool:
        """Whether to stop now; `idle_s` is the time since the last answer, or the start."""
        if self.max_matches is not None and receiver.num_matches >= self.max_matches:
            return True
        if self.idle_timeout_s is not None and idle_s >= self.idle_timeout_s:
            return True
        if not self.until_end or idle_s < self.grace_s:
            return False
        streams = receiver.tracker.streams.values()
        return bool(streams) and all(stream.num_sent is not None for stream in streams)


@dataclass(frozen=True)
class BatchRule:
    """Which frames are answered together.

    Attributes
    ----------
    max_frames : largest number of frames, 1 .. 256; frames that are queued already are included
    delay_ms : longest wait of a frame for others, 0 .. 1000 [ms]
    """

    max_frames: int = 1
    delay_ms: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.max_frames <= _MAX_BATCH:
            raise ConfigError(f"batch-size must be 1..{_MAX_BATCH}, got {self.max_frames}")
        if not 0.0 <= self.delay_ms <= _MAX_DELAY_MS:
            raise ConfigError(f"batch-delay-ms must be 0..{_MAX_DELAY_MS}, got {self.delay_ms:g}")


class Status:
    """A status line of the receiver at a steady interval.

    Parameters
    ----------
    interval_s : time between two lines; 0 writes none [s]
    write : receives each line, and the same counts by name
    now_s : clock [s]
    """

    def __init__(
        self,
        interval_s: float,
        write: Callable[[str, Mapping[str, float]], None],
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if not interval_s >= 0:
            raise ConfigError(f"status-interval-s must be 0 or more, got {interval_s:g}")
        self._interval_s, self._write, self._now_s = interval_s, write, now_s
        self._last_s: float | None = None
        self._last_matches = 0

    def update(self, receiver: Receiver) -> None:
        """Write the counts and the rate since the last line, if the interval has passed; the first call starts it."""
        now_s = self._now_s()
        if self._last_s is None:
            self._last_s = now_s
        elapsed_s = now_s - self._last_s
        if not self._interval_s or elapsed_s < self._interval_s:
            return
        totals = receiver.tracker.totals()
        per_s = (receiver.num_matches - self._last_matches) / elapsed_s
        self._last_s, self._last_matches = now_s, receiver.num_matches
        snr_db = receiver.noise.snr_db().values()
        counts: dict[str, float] = {
            "frames": totals.num_received,
            "matches": receiver.num_matches,
            "matches_per_s": round(per_s, 1),
            "lost": totals.num_lost,
            "duplicated": totals.num_duplicated,
            "rejected": receiver.rejected.total(),
        }
        if snr_db:
            counts |= {"snr_db_min": round(min(snr_db), 1), "snr_db_max": round(max(snr_db), 1)}
        self._write(f"status: {', '.join(f'{name} {value:g}' for name, value in counts.items())}", counts)


def serve(
    frames: FrameReceiver,
    receiver: Receiver,
    results: ResultsLog,
    stop: StopRule,
    interruption: Interruption,
    *,
    batch: BatchRule | None = None,
    on_match: Callable[[Match], None] | None = None,
    reporter: Reporter | None = None,
    status: Status | None = None,
    watch: KnowledgeBaseWatch | None = None,
) -> None:
    """Answer messages until the stop rule or an interruption ends it.

    Parameters
    ----------
    batch : frames that are answered together; each alone if None
    on_match : called with each match
    reporter : reports the knowledge base and the SNR to transmitters
    status : writes a line at an interval
    watch : warns when the folder of the knowledge base holds another version

    Raises
    ------
    ResultsError, EngineError, KnowledgeBaseError
        If results cannot be written any more, or a decoder or the knowledge base fails; matches that were found before
        are written.
    """
    batch = batch or BatchRule()
    idle_since_s = time.monotonic()
    while not interruption.is_set() and not stop.is_met(receiver, idle_s=time.monotonic() - idle_since_s):
        if reporter is not None:
            reporter.report(receiver)
        if status is not None:
            status.update(receiver)
        if watch is not None:
            watch.check()
        # No more than may be answered: messages beyond that stay in the socket for the next receiver.
        wanted = batch.max_frames
        if stop.max_matches is not None:
            wanted = min(wanted, stop.max_matches - receiver.num_matches)
        messages = frames.receive_batch(_POLL_S, max_messages=wanted, delay_s=batch.delay_ms / 1000)
        if not messages:
            continue
        _write(receiver.run_batch(messages), receiver, results, on_match)
        # After the answers, since more messages may have arrived meanwhile.
        idle_since_s = time.monotonic()


def _write(batch: Batch, receiver: Receiver, results: ResultsLog, on_match: Callable[[Match], None] | None) -> None:
    """Write a batch's matches, then raise the error that ended it, if any."""
    num_lost = batch.num_unanswered + len(batch.matches)
    try:
        for match in batch.matches:
            with receiver.clock.stage("store"):
                is_new = results.write(match)
            num_lost -= 1
            if on_match is not None:
                on_match(match)
            if is_new:
                _log.info(
                    "frame %s: %s (%s), confidence %.3f", match.frame_id, match.label, match.source, match.confidence
                )
            else:
                _log.warning("frame %s has a result from an earlier run, which is kept", match.frame_id)
    except BaseException:
        if batch.failure is not None:
            _log.error("the batch had failed before: %s", batch.failure)
        raise
    finally:
        if num_lost:
            _log.error("%d frames were received and are left without a result", num_lost)
    if batch.failure is not None:
        raise batch.failure
