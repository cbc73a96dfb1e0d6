"""The table of the README: the codes as shipped on several sets, from the committed reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.evaluations import SETS, shipped
from benchmarks.report.page import Table
from benchmarks.report.render import markdown_table
from trainer.evaluation.report import EvaluationReport

__all__ = ["sets_table"]

_COLUMNS = (
    ("adapted", "adapted"),
    ("adapted, KB without labels", "adapted-unlabelled"),
    ("index", "index"),
    ("nested-cells", "nested-cells"),
    ("kbsc, the paper's network", "kbsc"),
)
_NUM_SYMBOLS = 64
_SNR_DB = (-7.0, 0.0, 10.0)


def sets_table(root: Path) -> str:
    """Write accuracies at 64 symbols over AWGN, a row for each set, as Markdown.

    Parameters
    ----------
    root : top folder of the checkout
    """
    headers = ("pictures", "sent, KB", *(title for title, _ in _COLUMNS), "without channel")
    return markdown_table(Table(headers, tuple(_rows(root)), frozenset({"pictures"})))


def _rows(root: Path) -> Iterator[tuple[str, ...]]:
    for data, title in SETS.items():
        report = shipped(data)[0].report(root)
        sizes = f"{report.num_sent:,}, {report.num_kb_entries:,}"
        yield (
            title,
            sizes,
            *(_accuracies(report, codec) for _, codec in _COLUMNS),
            f"{report.noiseless_accuracy:.2f}",
        )


def _accuracies(report: EvaluationReport, codec: str) -> str:
    """Mean over seeds at each SNR."""
    cells = {
        cell.snr_db: cell.semantic_accuracy
        for cell in report.summary
        if (cell.codec, cell.channel, cell.num_symbols) == (codec, "awgn", _NUM_SYMBOLS)
    }
    return " / ".join(f"{cells[snr_db]:.2f}" for snr_db in _SNR_DB)
