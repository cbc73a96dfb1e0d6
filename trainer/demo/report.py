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
from trainer.demo.measure import CellReport, Retrieval

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
    """report.json: every run of every dataset; `stages` has the latency of each run, and the stages of the first."""

    kind: Literal["demo"] = "demo"
    encoder: str
    datasets: list[DatasetReport]

    @classmethod
    def of(cls, datasets: Sequence[DatasetReport], config: DemoConfig, *, encoder: str, command: str) -> DemoReport:
        """Make the report.

        Parameters
        ----------
        encoder : name of the image encoder
        command : command line, recorded
        """
        first = datasets[0].cells[0].stage_latency_ms
        every_run = [Stage.of(name, summary, is_end_to_end=True) for name, summary in cell_latency(datasets).items()]
        return cls(
            **provenance(command),
            settings={**config.settings(), "encoder_threads": NUM_ENCODER_THREADS, "precision": "fp32"},
            stages=[*every_run, *(Stage.of(f"{name} (first run)", summary) for name, summary in first.items())],
            encoder=encoder,
            datasets=list(datasets),
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
