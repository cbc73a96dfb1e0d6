"""The result of an evaluation: records, their summary over seeds, and a table."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from rich.table import Table

from semlink.report import Report, Setting, provenance
from trainer.evaluation.record import CellScores, Record
from trainer.intervals import confidence_interval

__all__ = ["CellSummary", "EvaluationReport", "summarize", "summary_table"]


class CellSummary(CellScores, frozen=True, kw_only=True):
    """One cell over its seeds: mean scores, and the 95 % confidence interval of the semantic accuracy.

    Attributes
    ----------
    semantic_accuracy_low, semantic_accuracy_high : None for a single seed
    """

    num_seeds: int
    semantic_accuracy_low: float | None
    semantic_accuracy_high: float | None

    @property
    def channel_title(self) -> str:
        """The channel, with a note if the gains were known exactly."""
        return f"{self.channel}, genie CSI" if self.csi == "genie" else self.channel

    @property
    def accuracy_text(self) -> str:
        """The semantic accuracy, and half its confidence interval if there is one."""
        if self.semantic_accuracy_high is None:
            return f"{self.semantic_accuracy:.3f}"
        return f"{self.semantic_accuracy:.3f} ±{self.semantic_accuracy_high - self.semantic_accuracy:.3f}"


class EvaluationReport(Report, frozen=True, kw_only=True):
    """The result of an evaluation, as `semlink evaluate --json` prints it."""

    kind: Literal["evaluation"] = "evaluation"
    encoder: str
    encoder_fingerprint: str
    dataset: str
    num_sent: int
    num_kb_entries: int
    weights: str
    noiseless_accuracy: float
    records: list[Record]
    summary: list[CellSummary]
    num_categories: int | None = None

    @classmethod
    def of(
        cls,
        records: list[Record],
        *,
        command: str,
        encoder: str,
        encoder_fingerprint: str,
        dataset: str,
        num_sent: int,
        num_kb_entries: int,
        weights: str,
        noiseless_accuracy: float,
        num_categories: int | None = None,
        settings: dict[str, Setting] | None = None,
    ) -> EvaluationReport:
        """Summarise records, and add when, where and with what they were measured."""
        return cls(
            **provenance(command),
            settings=settings or {},
            encoder=encoder,
            encoder_fingerprint=encoder_fingerprint,
            dataset=dataset,
            num_sent=num_sent,
            num_kb_entries=num_kb_entries,
            weights=weights,
            noiseless_accuracy=noiseless_accuracy,
            records=records,
            summary=summarize(records),
            num_categories=num_categories,
        )

    def records_as_dicts(self) -> list[dict[str, Any]]:
        """One flat dictionary for each cell and seed; `pandas.DataFrame` takes the list."""
        return [msgspec.structs.asdict(record) for record in self.records]

    def summary_as_dicts(self) -> list[dict[str, Any]]:
        """One flat dictionary for each cell; `pandas.DataFrame` takes the list."""
        return [msgspec.structs.asdict(cell) for cell in self.summary]


def summarize(records: Iterable[Record]) -> list[CellSummary]:
    """Reduce records to one row for each cell, in the order of the cells' first records."""
    cells: dict[tuple[str, int, str, float], list[Record]] = defaultdict(list)
    for record in records:
        cells[record.codec, record.num_symbols, record.channel, record.snr_db].append(record)
    return [_summarize_cell(*cell, group) for cell, group in cells.items()]


def _summarize_cell(
    codec: str, num_symbols: int, channel: str, snr_db: float, records: Sequence[Record]
) -> CellSummary:
    accuracy = confidence_interval([record.semantic_accuracy for record in records])
    errors = [record.calibration_error for record in records if record.calibration_error is not None]
    has_interval = len(records) > 1  # the interval of one seed is infinite, which JSON cannot hold
    return CellSummary(
        codec=codec,
        num_symbols=num_symbols,
        channel=channel,
        csi=records[0].csi,
        snr_db=snr_db,
        num_seeds=len(records),
        semantic_accuracy=accuracy.mean,
        semantic_accuracy_low=accuracy.low if has_interval else None,
        semantic_accuracy_high=accuracy.high if has_interval else None,
        recall_at_1=_mean(record.recall_at_1 for record in records),
        recall_at_10=_mean(record.recall_at_10 for record in records),
        mean_cosine=_mean(record.mean_cosine for record in records),
        match_cosine=_mean(record.match_cosine for record in records),
        calibration_error=_mean(errors) if errors else None,
    )


def _mean(values: Iterable[float]) -> float:
    return confidence_interval(list(values)).mean


def summary_table(report: EvaluationReport) -> Table:
    """Semantic accuracy with half its confidence interval, by codec, channel and rate (rows) and SNR (columns)."""
    snr_db = sorted({cell.snr_db for cell in report.summary})
    title = f"Semantic accuracy on {report.dataset}, noiseless {report.noiseless_accuracy:.3f}"
    table = Table("codec", "channel", "symbols", *(f"{snr:g} dB" for snr in snr_db), title=title, title_justify="left")
    rows = itertools.groupby(report.summary, key=lambda cell: (cell.codec, cell.channel_title, cell.num_symbols))
    for (codec, channel, num_symbols), cells in rows:
        by_snr = {cell.snr_db: cell.accuracy_text for cell in cells}
        table.add_row(codec, channel, str(num_symbols), *(by_snr.get(snr, "") for snr in snr_db))
    return table
