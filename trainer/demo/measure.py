"""Accuracy and latency of one run: the transmitter's log joined with the receiver's results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edge_rx.summary import StreamSummary
from semlink.timing import LatencySummary, summarize_latency
from trainer.demo.config import LinkSettings
from trainer.demo.link import LinkRun
from trainer.intervals import proportion_interval

__all__ = ["CellReport", "Retrieval", "measure_cell", "pooled_latency", "read_retrievals"]


class Retrieval(msgspec.Struct, frozen=True):
    """The match of one received frame, and the image that was sent.

    Attributes
    ----------
    sent_name, sent_label : path and category of the sent image
    entry_id, label, confidence : of the match
    latency_ms : from the image in the transmitter's memory to the match in the receiver's
    """

    sent_name: str
    sent_label: str
    entry_id: int
    label: str
    confidence: float
    latency_ms: float

    @property
    def is_correct(self) -> bool:
        """Whether the match has the sent image's category."""
        return self.label == self.sent_label


class CellReport(msgspec.Struct, frozen=True):
    """Figures of one run: a dataset with one codec at one rate and one SNR.

    `semantic_accuracy` is a fraction of the images sent, so that a lost frame counts as incorrect; `_low` and `_high`
    are the ends of its 95 % interval.
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
    """Read the results of a run, each with the image that was sent.

    Parameters
    ----------
    labels : category by path of the sent image
    """
    names = {line["frame"]: line["name"] for line in run.sent}
    return [
        Retrieval(
            sent_name=names[_frame_name(result)],
            sent_label=labels[names[_frame_name(result)]],
            entry_id=result["entry_id"],
            label=result["label"],
            confidence=result["confidence"],
            latency_ms=result["latency_ms"],
        )
        for result in run.results
    ]


def measure_cell(
    run: LinkRun, retrievals: Sequence[Retrieval], settings: LinkSettings, received: StreamSummary | None
) -> CellReport:
    """Compute the figures of one run.

    Parameters
    ----------
    received : the receiver's counts of the run's frames; None if it received none of them
    """
    num_sent, num_received = len(run.sent), received.received if received else 0
    accuracy = proportion_interval(sum(retrieval.is_correct for retrieval in retrievals), num_sent)
    start_s = run.sent[0]["capture_time_ns"] / 1e9
    end_s = max((result["matched_time_ns"] / 1e9 for result in run.results), default=start_s)
    return CellReport(
        codec=settings.codec,
        rate=settings.rate.name,
        num_symbols=settings.rate.num_symbols,
        snr_db=settings.snr_db,
        channel=settings.channel,
        payload_cbr=_mean([line["payload_cbr"] for line in run.sent]),
        total_cbr=_mean([line["total_cbr"] for line in run.sent]),
        images_sent=num_sent,
        frames_received=num_received,
        # By the sent log, because a receiver does not know of frames that were lost at the end of a stream.
        frames_lost=num_sent - num_received,
        frames_duplicated=received.duplicated if received else 0,
        semantic_accuracy=accuracy.mean,
        semantic_accuracy_low=accuracy.low,
        semantic_accuracy_high=accuracy.high,
        throughput_images_s=num_sent / max(1e-9, end_s - start_s),
        latency_ms=pooled_latency(retrievals),
        stage_latency_ms={
            **_summaries("tx", run.transmitter),
            **_summaries("channel", run.channel),
            **_receiver_stages(run.results),
        },
    )


def pooled_latency(retrievals: Sequence[Retrieval]) -> LatencySummary:
    """End-to-end latency of retrievals, of one run or of several."""
    return summarize_latency([retrieval.latency_ms for retrieval in retrievals])


def _frame_name(result: Mapping[str, Any]) -> str:
    """Frame id of a result, as the transmitter's log writes it."""
    return f"{result['stream_id']}-{result['sequence']}"


def _summaries(process: str, summary: Mapping[str, Any]) -> dict[str, LatencySummary]:
    """Latency of the stages of a process that had this run alone."""
    stages = msgspec.convert(summary["stage_latency_ms"], dict[str, LatencySummary])
    return {f"{process} {stage}": latency for stage, latency in stages.items()}


def _receiver_stages(results: Sequence[Mapping[str, Any]]) -> dict[str, LatencySummary]:
    """The same of the receiver, which has several runs, from its results."""
    stages: defaultdict[str, list[float]] = defaultdict(list)
    for result in results:
        for stage, elapsed_ms in result["stage_ms"].items():
            stages[stage].append(elapsed_ms)
    return {f"rx {stage}": summarize_latency(elapsed_ms) for stage, elapsed_ms in stages.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
