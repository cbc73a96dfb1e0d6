"""The evaluation as a picture: a panel for each channel and rate, a curve for each codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from semlink.channel import ChannelModel
from semlink.errors import ResultsError
from semlink.rates import parse_rate
from trainer.evaluation.bounds import message_error_rate
from trainer.evaluation.report import CellSummary, EvaluationReport

__all__ = ["plot_report"]

_STYLES = {
    "kbsc": "C0o-",
    "kbsc-reference": "C0s--",
    "nested": "C3o-",
    "nested-feedback": "C3s:",
    "index": "C2o-",
    "nested-labels": "C3^--",
    "index-labels": "C2^--",
    "label": "C4o-",
    "vq": "C1o-",
    "vq-residual": "C1s--",
    "vq-product": "C1^:",
    "uncoded": "C7o-",
    "index-polar": "C5s:",
    "bpg-ldpc": "C8D:",
    "deepjscc": "C4v:",
}
_LABELLED = ("label", "nested-labels", "index-labels")
_PANEL_INCHES = (3.6, 3.6)


def plot_report(report: EvaluationReport, path: Path) -> None:
    """Draw semantic accuracy against SNR to a PNG or SVG file.

    Raises
    ------
    ResultsError
        If the file cannot be written, or is of another kind.
    """
    from matplotlib.figure import Figure

    channels = list(dict.fromkeys(cell.channel for cell in report.summary))
    rates = sorted({cell.num_symbols for cell in report.summary})
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(1.0 + width * max(len(rates), 2), height * len(channels) + 0.6), layout="constrained")
    panels = figure.subplots(len(channels), len(rates), sharex=True, sharey=True, squeeze=False)
    for row, channel in zip(panels, channels, strict=True):
        for panel, num_symbols in zip(row, rates, strict=True):
            cells = [cell for cell in report.summary if (cell.channel, cell.num_symbols) == (channel, num_symbols)]
            _draw(panel, report, cells)
            panel.set_title(f"{num_symbols} symbols ({parse_rate(str(num_symbols)).name}), {cells[0].channel_title}")
        row[0].set_ylabel("semantic accuracy")
    for panel in panels[-1]:
        panel.set_xlabel("SNR Es/N0 [dB]")
    handles: dict[str, Any] = {}
    for panel in panels.flat:
        found, labels = panel.get_legend_handles_labels()
        handles |= dict(zip(labels, found, strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize="small")
    figure.suptitle(f"{report.dataset}: {report.num_sent:,} images sent, KB of {report.num_kb_entries:,}")
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: the plot cannot be written: {error}; PNG, SVG and PDF are known") from None


def _draw_bound(
    panel: Any, cells: list[CellSummary], num_messages: int, accuracy: float, *, style: str, label: str
) -> None:
    """What a scheme of this accuracy could keep of it if the best code sent one of so many messages."""
    rate = parse_rate(str(cells[0].num_symbols))
    line_db = np.linspace(min(cell.snr_db for cell in cells), max(cell.snr_db for cell in cells), 100)
    errors = np.array([message_error_rate(num_messages, rate, snr) for snr in line_db])
    panel.plot(line_db, accuracy * (1 - errors), style, linewidth=0.8, label=label)


def _draw(panel: Any, report: EvaluationReport, cells: list[CellSummary]) -> None:
    """One channel at one rate."""
    for codec in dict.fromkeys(cell.codec for cell in cells):
        curve = sorted((cell for cell in cells if cell.codec == codec), key=lambda cell: cell.snr_db)
        means = np.array([cell.semantic_accuracy for cell in curve])
        ends = np.array([_interval(cell) for cell in curve]).T
        snr_db = [cell.snr_db for cell in curve]
        spread = np.abs(ends - means)
        panel.errorbar(snr_db, means, yerr=spread, fmt=_STYLES.get(codec, "o-"), markersize=3, capsize=2, label=codec)
    panel.axhline(report.noiseless_accuracy, color="grey", linestyle=":", label="ideal: no codec, no channel")
    if cells[0].channel == ChannelModel.AWGN and any(cell.codec == "index" for cell in cells):
        label = "bound of index: the entry's number, normal approximation"
        _draw_bound(panel, cells, report.num_kb_entries, report.noiseless_accuracy, style="k-", label=label)
    labelled = [cell.semantic_accuracy for cell in cells if cell.codec in _LABELLED]
    if cells[0].channel == ChannelModel.AWGN and labelled and report.num_categories:
        label = "bound of a category's number, of the best that labels reach here"
        _draw_bound(panel, cells, report.num_categories, max(labelled), style="k--", label=label)
    highest = max([report.noiseless_accuracy, *(_interval(cell)[1] for cell in report.summary)])
    panel.set_ylim(0, min(1.03, highest * 1.1))
    panel.grid(alpha=0.3)


def _interval(cell: CellSummary) -> tuple[float, float]:
    """What is drawn of it, within 0 .. 1: Student's t knows nothing of shares, and is wide for two seeds."""
    if cell.semantic_accuracy_low is None or cell.semantic_accuracy_high is None:
        return cell.semantic_accuracy, cell.semantic_accuracy
    return max(0.0, cell.semantic_accuracy_low), min(1.0, cell.semantic_accuracy_high)
