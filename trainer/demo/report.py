"""report.json of a demonstration, and its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from rich.markup import escape
from rich.table import Table

from semlink.report import Report, Stage, provenance
from semlink.timing import LatencySummary
from trainer.demo.config import DemoConfig
from trainer.demo.link import NUM_ENCODER_THREADS
from trainer.demo.measure import CellReport, Retrieval, pooled_latency

__all__ = ["DatasetReport", "DatasetRun", "DemoReport", "cell_latency", "summary_table"]


class DatasetReport(msgspec.Struct, frozen=True):
    """Figures of one dataset.

    Attributes
    ----------
    dataset : its name
    criterion : of a correct retrieval
    noiseless_accuracy : semantic accuracy without codec and channel
    num_kb_entries, images_skipped : size of the knowledge base, and files that could not be read
    cells : one for each codec, rate and SNR
    """

    dataset: str
    criterion: str
    noiseless_accuracy: float
    num_kb_entries: int
    images_skipped: int
    cells: list[CellReport]


@dataclass(frozen=True)
class DatasetRun:
    """The runs of one dataset.

    Attributes
    ----------
    report : their figures
    retrievals : of each cell of the report
    knowledge_base : folder of the knowledge base
    """

    report: DatasetReport
    retrievals: tuple[tuple[Retrieval, ...], ...]
    knowledge_base: Path


class DemoReport(Report, frozen=True, kw_only=True):
    """report.json.

    Counts, accuracy and latency are those of the first dataset with the first codec and rate, over all SNRs; `datasets`
    has every run, and `stages` the latency of every run and the stages of the first.
    """

    kind: Literal["demo"] = "demo"
    encoder: str
    dataset: str
    codec: str
    channel: str
    num_pilots: int
    rate: str
    num_symbols: int
    payload_cbr: float
    total_cbr: float
    images_sent: int
    frames_received: int
    frames_lost: int
    frames_duplicated: int
    semantic_accuracy: dict[str, float]
    noiseless_accuracy: float
    latency_ms: LatencySummary
    throughput_images_s: float
    datasets: list[DatasetReport]

    @classmethod
    def of(cls, runs: Sequence[DatasetRun], config: DemoConfig, *, encoder: str, command: str) -> DemoReport:
        """Make the report of the datasets' runs.

        Parameters
        ----------
        encoder : name of the image encoder
        command : command line, recorded
        """
        first = runs[0].report
        head = first.cells[0]
        pairs = [
            (cell, retrievals)
            for cell, retrievals in zip(first.cells, runs[0].retrievals, strict=True)
            if (cell.codec, cell.rate) == (head.codec, head.rate)
        ]
        cells = [cell for cell, _ in pairs]
        datasets = [run.report for run in runs]
        first_run = [Stage.of(f"{name} (first run)", summary) for name, summary in head.stage_latency_ms.items()]
        every_run = [Stage.of(name, summary, is_end_to_end=True) for name, summary in cell_latency(datasets).items()]
        return cls(
            **provenance(command),
            settings={**config.settings(), "encoder_threads": NUM_ENCODER_THREADS, "precision": "fp32"},
            stages=[*every_run, *first_run],
            encoder=encoder,
            dataset=first.dataset,
            codec=head.codec,
            channel=head.channel,
            num_pilots=config.num_pilots,
            rate=head.rate,
            num_symbols=head.num_symbols,
            payload_cbr=head.payload_cbr,
            total_cbr=head.total_cbr,
            images_sent=sum(cell.images_sent for cell in cells),
            frames_received=sum(cell.frames_received for cell in cells),
            frames_lost=sum(cell.frames_lost for cell in cells),
            frames_duplicated=sum(cell.frames_duplicated for cell in cells),
            semantic_accuracy={f"{cell.snr_db:g}": cell.semantic_accuracy for cell in cells},
            noiseless_accuracy=first.noiseless_accuracy,
            latency_ms=pooled_latency([retrieval for _, retrievals in pairs for retrieval in retrievals]),
            throughput_images_s=sum(cell.throughput_images_s for cell in cells) / len(cells),
            datasets=datasets,
        )


def summary_table(report: DemoReport) -> Table:
    """Table of every run."""
    columns = ("dataset", "codec", "symbols", "SNR dB", "accuracy", "noiseless", "sent", "lost", "images/s")
    table = Table(*columns, title="Semantic accuracy and throughput", title_justify="left", box=None)
    for dataset in report.datasets:
        for cell in dataset.cells:
            table.add_row(
                *(escape(dataset.dataset), cell.codec, str(cell.num_symbols), f"{cell.snr_db:g}"),
                *(f"{cell.semantic_accuracy:.3f}", f"{dataset.noiseless_accuracy:.3f}"),
                *map(str, (cell.images_sent, cell.frames_lost)),
                f"{cell.throughput_images_s:.0f}",
            )
    return table


def cell_latency(datasets: Sequence[DatasetReport]) -> dict[str, LatencySummary]:
    """End-to-end latency of every run, by dataset, codec, rate and SNR."""
    return {
        f"{dataset.dataset} {cell.codec} {cell.rate} {cell.snr_db:g} dB": cell.latency_ms
        for dataset in datasets
        for cell in dataset.cells
    }
