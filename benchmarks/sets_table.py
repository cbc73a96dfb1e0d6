"""Tables of the codes as shipped on several sets, from the committed reports: accuracy, labels, confidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.evaluations import SETS, shipped
from benchmarks.report.page import Table
from benchmarks.report.render import markdown_table
from trainer.evaluation.report import CellSummary, EvaluationReport

__all__ = ["confidence_table", "labels_table", "sets_table"]


class _Column(NamedTuple):
    """A codec's figures; `by_label` where it was measured with answers by label."""

    title: str
    codec: str
    by_label: bool = False


_SHIPPED = (
    _Column("adapted", "adapted"),
    _Column("adapted, KB without labels", "adapted-unlabelled"),
    _Column("index", "index", by_label=True),
    _Column("nested", "nested", by_label=True),
    _Column("kbsc, answered by label", "kbsc", by_label=True),
    _Column("kbsc, the paper's network", "kbsc"),
)
_BY_LABEL = ("index", "nested", "nested-cells", "kbsc")
_CONFIDENT = (
    _Column("adapted", "adapted"),
    _Column("adapted, KB without labels", "adapted-unlabelled"),
    *(_Column(codec, codec, by_label=True) for codec in _BY_LABEL),
)
_NUM_SYMBOLS = 64
_SNR_DB = (-7.0, 0.0, 10.0)


def sets_table(root: Path) -> str:
    """Write accuracies at 64 symbols over AWGN, a row for each set, as Markdown.

    Parameters
    ----------
    root : top folder of the checkout
    """
    return _table(root, _SHIPPED, _accuracy, with_sizes=True)


def labels_table(root: Path) -> str:
    """Write the same of the codes that may be answered by the nearest entry or by label, beside each other."""
    columns = [
        _Column(f"{codec}, {'label' if by_label else 'nearest'}", codec, by_label)
        for codec in _BY_LABEL
        for by_label in (False, True)
    ]
    return _table(root, columns, _accuracy)


def confidence_table(root: Path) -> str:
    """Write expected calibration errors at 64 symbols over AWGN, a row for each set."""
    return _table(root, _CONFIDENT, _calibration_error)


def _table(
    root: Path, columns: Sequence[_Column], figure: Callable[[CellSummary], float], *, with_sizes: bool = False
) -> str:
    rows = []
    for data, title in SETS.items():
        by_default, by_label, _ = (evaluation.report(root) for evaluation in shipped(data))
        sizes = (f"{by_default.num_sent:,}, {by_default.num_kb_entries:,}",) if with_sizes else ()
        reports = [by_label if column.by_label else by_default for column in columns]
        figures = [_figures(report, column.codec, figure) for report, column in zip(reports, columns, strict=True)]
        noiseless = (f"{by_default.noiseless_accuracy:.2f}",) if with_sizes else ()
        rows.append((title, *sizes, *figures, *noiseless))
    sizes_title, noiseless_title = (("sent, KB",), ("without channel",)) if with_sizes else ((), ())
    headers = ("pictures", *sizes_title, *(column.title for column in columns), *noiseless_title)
    return markdown_table(Table(headers, tuple(rows), frozenset({"pictures"})))


def _figures(report: EvaluationReport, codec: str, figure: Callable[[CellSummary], float]) -> str:
    """Mean over seeds at each SNR."""
    cells = {
        cell.snr_db: figure(cell)
        for cell in report.summary
        if (cell.codec, cell.channel, cell.num_symbols) == (codec, "awgn", _NUM_SYMBOLS)
    }
    return " / ".join(f"{cells[snr_db]:.2f}" for snr_db in _SNR_DB)


def _accuracy(cell: CellSummary) -> float:
    return cell.semantic_accuracy


def _calibration_error(cell: CellSummary) -> float:
    return float("nan") if cell.calibration_error is None else cell.calibration_error
