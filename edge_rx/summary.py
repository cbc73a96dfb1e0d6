"""What a receiver did, as a value and as tables for people."""

from __future__ import annotations

import msgspec
from rich.console import Console

from edge_rx.pipeline import END_TO_END, Receiver
from edge_rx.results import ResultsLog
from semlink.cli.summary import print_counts, print_latency
from semlink.timing import LatencySummary, summarize_latency

__all__ = ["StreamSummary", "Summary", "print_summary", "summarize"]


class StreamSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What one stream delivered, see `semlink.sequence.StreamCount`; `sent` is None until its end is received."""

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
    frames_received : distinct frames with a valid header and checksums, of models that the receiver serves
    frames_lost : frames after the first received one of their stream that were sent and not received
    frames_before_start : frames before that one: lost, or sent before this receiver listened
    frames_duplicated : repeats, which were dropped
    frames_reordered : frames that arrived after a later one
    frames_rejected : messages that were dropped, by reason
    matches, matches_accepted : matches, and those whose confidence reaches `min_confidence`
    batches : number of decoder calls, by the number of frames of one codec and rate in the call
    num_streams : number of streams
    streams : the same by stream id, in hex; only the `semlink.sequence.MAX_STREAMS` most recent ones
    latency_ms : from capture to match; meaningful if both hosts' clocks agree
    features_index : description of the search for features; signals are all compared
    stage_latency_ms : the receiver's stages; for frames of a batch, the time of all together
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


def summarize(receiver: Receiver, results: ResultsLog, *, num_entries: int) -> Summary:
    """Collect the counts and latencies of a receiver."""
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
    """Print the counts, and the latency of each stage."""
    counts: dict[str, object] = {
        "frames received": summary.frames_received,
        "frames lost": summary.frames_lost,
        "frames before the first one received": summary.frames_before_start,
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
