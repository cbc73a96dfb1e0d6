"""Join the transmitter's log with the receiver's results: what was right, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from semlink.errors import TransportError
from semlink.rates import Rate
from semlink.timing import LatencySummary, summarize_latency
from trainer.demo.processes import LinkRun
from trainer.intervals import proportion_interval

__all__ = ["CellReport", "Retrieval", "measure_cell", "pooled_latency", "read_retrievals"]


class Retrieval(msgspec.Struct, frozen=True):
    """One received frame: what was sent, what came back, how sure, how late."""

    sent_name: str
    sent_label: str
    entry_id: int
    label: str
    score: float
    latency_ms: float


class CellReport(msgspec.Struct, frozen=True):
    """One streaming run: a dataset with one codec at one rate and one SNR.

    A lost frame is a wrong answer: the share is over the images sent.
    """

    codec: str
    rate: str
    num_symbols: int
    snr_db: float
    channel: str
    payload_cbr: float
    total_cbr: float
    images_sent: int
    frames_received: int
    frames_lost: int
    frames_duplicated: int
    semantic_accuracy: float
    semantic_accuracy_low: float
    semantic_accuracy_high: float
    throughput_images_s: float
    latency_ms: LatencySummary
    stage_latency_ms: dict[str, LatencySummary]


def read_retrievals(run: LinkRun, labels: Mapping[str, str]) -> list[Retrieval]:
    """Every result of a run with the image that it answers.

    Parameters
    ----------
    labels : true category by the path that the transmitter was given
    """
    names = {line["frame"]: line["name"] for line in _lines(run.sent_log)}
    return [
        Retrieval(
            sent_name=names[_frame_name(result)],
            sent_label=labels[names[_frame_name(result)]],
            entry_id=result["entry_id"],
            label=result["label"],
            score=result["score"],
            latency_ms=result["latency_ms"],
        )
        for result in _lines(run.results_log)
    ]


def measure_cell(
    run: LinkRun, retrievals: Sequence[Retrieval], *, codec: str, rate: Rate, snr_db: float, channel: str
) -> CellReport:
    """Sum up one run."""
    sent = _lines(run.sent_log)
    if not sent:
        raise TransportError("the transmitter sent nothing; its pictures could not be read")
    num_right = sum(retrieval.label == retrieval.sent_label for retrieval in retrievals)
    interval = proportion_interval(num_right, len(sent))
    times_s = [line["capture_time_ns"] / 1e9 for line in sent]
    last_s = max((line["matched_time_ns"] / 1e9 for line in _lines(run.results_log)), default=times_s[-1])
    return CellReport(
        codec=codec,
        rate=rate.name,
        num_symbols=rate.num_symbols,
        snr_db=snr_db,
        channel=channel,
        payload_cbr=_mean([line["payload_cbr"] for line in sent]),
        total_cbr=_mean([line["total_cbr"] for line in sent]),
        images_sent=len(sent),
        frames_received=run.receiver["frames_received"],
        # The receiver cannot miss what it never heard announced; the sent log can.
        frames_lost=len(sent) - run.receiver["frames_received"],
        frames_duplicated=run.receiver["frames_duplicated"],
        semantic_accuracy=interval.mean,
        semantic_accuracy_low=interval.low,
        semantic_accuracy_high=interval.high,
        throughput_images_s=len(sent) / max(1e-9, last_s - times_s[0]),
        latency_ms=summarize_latency([retrieval.latency_ms for retrieval in retrievals]),
        stage_latency_ms={
            f"{process} {stage}": msgspec.convert(summary, LatencySummary)
            for process, summaries in (("tx", run.transmitter), ("channel", run.channel), ("rx", run.receiver))
            for stage, summary in summaries["stage_latency_ms"].items()
        },
    )


def pooled_latency(retrievals: Sequence[Retrieval]) -> LatencySummary:
    """End-to-end latency over several runs."""
    return summarize_latency([retrieval.latency_ms for retrieval in retrievals])


def _frame_name(result: Mapping[str, Any]) -> str:
    """The frame id of a result, as the transmitter's log writes it."""
    return f"{result['stream_id']}-{result['sequence']}"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
