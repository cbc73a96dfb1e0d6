"""Summary of a transmitter: counts and latencies, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
from rich.console import Console

from edge_tx.pipeline import Transmitter
from edge_tx.sources import SkippedImages
from semlink.cli.summary import print_counts, print_latency
from semlink.machine import peak_resident_mb
from semlink.timing import LatencySummary

__all__ = ["TransmitterSummary", "print_summary"]


class TransmitterSummary(msgspec.Struct, frozen=True):
    """Counts and latencies of a transmitter, as `semlink tx --json` prints them.

    `chunks_rejected` counts dropped chunks of the receiver's codebook by reason.
    """

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
    chunks_rejected: dict[str, int]

    @classmethod
    def of(
        cls,
        transmitter: Transmitter,
        skipped: SkippedImages,
        *,
        interrupted: bool,
        duration_s: float,
        chunks_rejected: Mapping[str, int] = MappingProxyType({}),
    ) -> TransmitterSummary:
        """Collect the counts and latencies of a stream that took `duration_s`."""
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
            chunks_rejected=dict(chunks_rejected),
        )

    def counts(self) -> dict[str, object]:
        """The counts, for a table."""
        return {
            "stream": self.stream,
            "images sent": self.images_sent,
            **{f"images sent with {codec}": count for codec, count in self.sent_by_codec.items()},
            **{f"images sent in {num} symbols": count for num, count in self.sent_by_num_symbols.items()},
            "images skipped": self.images_skipped,
            **{f"chunks rejected, {reason}": count for reason, count in self.chunks_rejected.items()},
            "throughput, images/s": f"{self.throughput_images_s:.1f}",
            "peak memory, MB": f"{self.peak_resident_mb:.0f}",
        }


def print_summary(summary: TransmitterSummary, *, console: Console) -> None:
    """Print the counts, and the latency of each stage."""
    print_counts("Transmitter", summary.counts(), console=console)
    print_latency("Transmitter stages", summary.stage_latency_ms, console=console)
