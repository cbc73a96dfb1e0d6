"""The receiver as a service: messages in, results on disk, and a summary when it ends."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from rich.console import Console

from edge_rx.match import Match
from edge_rx.pipeline import END_TO_END, Receiver
from edge_rx.reporter import Reporter
from edge_rx.results import ResultsLog
from semlink.cli.summary import print_counts, print_latency
from semlink.errors import ConfigError
from semlink.interrupt import Interruption
from semlink.timing import LatencySummary, summarize_latency
from semlink.transport import FrameReceiver

__all__ = ["BatchRule", "StopRule", "StreamSummary", "Summary", "print_summary", "serve", "summarize"]

_log = logging.getLogger(__name__)

_POLL_S = 0.1
"""Longest wait for a message before the loop looks at its reasons to stop."""
_MAX_BATCH = 256
"""Frames of one batch: what their candidates hold in memory stays at 32 MB."""
_MAX_DELAY_MS = 1000
"""Of a frame that waits for others; who asks the receiver to stop is heard after it."""


@dataclass(frozen=True)
class StopRule:
    """When a receiver ends by itself; with no field set, never.

    Attributes
    ----------
    until_end : stop when every stream heard so far has ended and nothing came for `grace_s`
    max_matches : stop after so many matches, at least 1
    idle_timeout_s : stop when nothing came for so long since the start, or since the last was answered [s]
    grace_s : how long a late stream or repeat may take after the last end [s]
    """

    until_end: bool = False
    max_matches: int | None = None
    idle_timeout_s: float | None = None
    grace_s: float = 0.5

    def __post_init__(self) -> None:
        if (self.max_matches is not None and self.max_matches < 1) or (
            self.idle_timeout_s is not None and self.idle_timeout_s <= 0
        ):
            raise ConfigError(
                "count must be at least 1 and idle-timeout-s positive,"
                f" got {self.max_matches} and {self.idle_timeout_s}"
            )

    def says_stop(self, receiver: Receiver, *, idle_s: float) -> bool:
        """Whether to end now; `idle_s` is the time since the last message was answered, or the start."""
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
    max_frames : how many at most, 1 .. 256; those that wait already are taken
    delay_ms : how long a frame may wait for more to come, 0 .. 1000 [ms]
    """

    max_frames: int = 1
    delay_ms: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.max_frames <= _MAX_BATCH or not 0.0 <= self.delay_ms <= _MAX_DELAY_MS:
            raise ConfigError(
                f"batch must be 1..{_MAX_BATCH} and batch-delay-ms 0..{_MAX_DELAY_MS},"
                f" got {self.max_frames} and {self.delay_ms:g}"
            )


class StreamSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What one stream delivered, see `semlink.sequence.StreamCount`; `sent` is None if its end was not heard."""

    received: int
    lost: int
    before_start: int
    duplicated: int
    reordered: int
    sent: int | None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver did.

    Attributes
    ----------
    frames_received : distinct frames whose header and checksums held, made with models that the receiver has
    frames_lost : frames after the first one received of their stream that were sent and not received
    frames_before_start : frames before that one; lost, or sent before this receiver listened: it
        cannot know which
    frames_duplicated : repeats, which were dropped
    frames_reordered : frames that came after a later one
    frames_rejected : messages that were dropped because their bytes were bad, by reason
    matches, matches_accepted : frames answered, and those whose score was high enough
    batches : how often so many frames, of one codec and rate, shared one call of the decoder and its search
    num_streams : streams heard
    streams : the same by stream id, in hex; only the `semlink.sequence.MAX_STREAMS` heard last
    latency_ms : from capture to match; means something if both hosts' clocks agree
    features_index : what features were searched with, and where; signals are compared with all
    stage_latency_ms : the receiver's stages; each frame of a batch counts what it and the others took together
    """

    frames_received: int
    frames_lost: int
    frames_before_start: int
    frames_duplicated: int
    frames_reordered: int
    frames_rejected: dict[str, int]
    matches: int
    matches_accepted: int
    batches: dict[int, int]
    num_streams: int
    streams: dict[str, StreamSummary]
    latency_ms: LatencySummary
    stage_latency_ms: dict[str, LatencySummary]
    results_jsonl: str
    results_sqlite: str
    kb_entries: int
    features_index: str


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
) -> None:
    """Answer messages until the stop rule or an interruption ends it.

    Parameters
    ----------
    batch : which frames to answer together; each alone if None
    on_match : hears of each match
    reporter : tells transmitters what this receiver has and hears

    Raises
    ------
    ResultsError, EngineError, KnowledgeBaseError
        If results cannot be written any more, or a decoder or the knowledge base fails; what was found before is
        written.
    """
    batch = batch or BatchRule()
    idle_since_s = time.monotonic()
    while not interruption.is_set() and not stop.says_stop(receiver, idle_s=time.monotonic() - idle_since_s):
        if reporter is not None:
            reporter.report(receiver)
        # No more than may be answered: what is not taken is still there for the next receiver.
        wanted = batch.max_frames
        if stop.max_matches is not None:
            wanted = min(wanted, stop.max_matches - receiver.num_matches)
        messages = frames.receive_batch(_POLL_S, max_messages=wanted, delay_s=batch.delay_ms / 1000)
        if not messages:
            continue
        with contextlib.closing(receiver.run_batch(messages)) as matches:
            for match in matches:
                with receiver.clock.stage("store"):
                    is_new = results.write(match)
                if on_match is not None:
                    on_match(match)
                if is_new:
                    _log.info("frame %s: %s (%s), score %.3f", match.frame_id, match.label, match.source, match.score)
                else:
                    _log.warning("frame %s has a result from an earlier run, which is kept", match.frame_id)
        # Not before they are answered: more may have come meanwhile, and wait.
        idle_since_s = time.monotonic()


def summarize(receiver: Receiver, results: ResultsLog, *, num_entries: int) -> Summary:
    """Put together what a receiver counted and timed."""
    stages = receiver.clock.summary()
    streams = {
        f"{stream_id:016x}": StreamSummary(
            received=count.num_received,
            lost=count.num_lost,
            before_start=count.num_before_start,
            duplicated=count.num_duplicated,
            reordered=count.num_reordered,
            sent=count.num_sent,
        )
        for stream_id, count in receiver.tracker.streams.items()
    }
    totals = receiver.tracker.totals()
    return Summary(
        frames_received=totals.num_received,
        frames_lost=totals.num_lost,
        frames_before_start=totals.num_before_start,
        frames_duplicated=totals.num_duplicated,
        frames_reordered=totals.num_reordered,
        frames_rejected=dict(receiver.rejected),
        matches=receiver.num_matches,
        matches_accepted=receiver.num_accepted,
        batches=dict(sorted(receiver.batches.items())),
        num_streams=totals.num_streams,
        streams=streams,
        latency_ms=stages.pop(END_TO_END, summarize_latency([])),
        stage_latency_ms=stages,
        results_jsonl=str(results.lines_path),
        results_sqlite=str(results.table_path),
        kb_entries=num_entries,
        features_index=receiver.features_index,
    )


def print_summary(summary: Summary, *, console: Console) -> None:
    """The summary for people: what came, and where the time went."""
    counts: dict[str, object] = {
        "frames received": summary.frames_received,
        "frames lost": summary.frames_lost,
        "frames before the first one heard": summary.frames_before_start,
        "frames duplicated": summary.frames_duplicated,
        "frames reordered": summary.frames_reordered,
        **{f"rejected: {reason}": count for reason, count in summary.frames_rejected.items()},
        "matches": summary.matches,
        "matches accepted": summary.matches_accepted,
        **({} if summary.features_index.startswith("flat") else {"features searched by": summary.features_index}),
        **({"most frames answered together": most} if (most := max(summary.batches, default=1)) > 1 else {}),
        "results": summary.results_jsonl,
    }
    print_counts("Receiver", counts, console=console)
    stages = dict(summary.stage_latency_ms)
    if summary.latency_ms.num_samples:
        stages["end to end"] = summary.latency_ms
    print_latency("Receiver stages", stages, console=console)
