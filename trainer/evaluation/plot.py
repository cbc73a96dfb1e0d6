"""Plot of an evaluation: a panel for each channel and rate, a curve for each codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from semlink.channel import ChannelModel
from semlink.errors import ConfigError
from semlink.plot_files import require_plottable, save_figure
from semlink.rates import parse_rate
from trainer.codecs.spec import CodecSpec
from trainer.codecs.table import find_codec
from trainer.evaluation.bounds import message_error_rate
from trainer.evaluation.report import CellSummary, EvaluationReport

__all__ = ["plot_report"]

_OTHER_STYLE = "o-"
"""Line style of a codec that is not installed here."""
_PANEL_INCHES = (3.6, 3.6)


def plot_report(report: EvaluationReport, path: Path) -> None:
    """Draw semantic accuracy against SNR.

    Raises
    ------
    ConfigError, MissingDependencyError, ResultsError
        See `semlink.plot_files.require_plottable`.
    """
    require_plottable(path)
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
    save_figure(figure, path)


def _draw(panel: Any, report: EvaluationReport, cells: list[CellSummary]) -> None:
    """Draw one channel at one rate."""
    for codec in dict.fromkeys(cell.codec for cell in cells):
        curve = sorted((cell for cell in cells if cell.codec == codec), key=lambda cell: cell.snr_db)
        means = np.array([cell.semantic_accuracy for cell in curve])
        ends = np.array([_interval(cell) for cell in curve]).T
        snr_db = [cell.snr_db for cell in curve]
        spread = np.abs(ends - means)
        style = spec.line_style if (spec := _installed(codec)) else _OTHER_STYLE
        panel.errorbar(snr_db, means, yerr=spread, fmt=style, markersize=3, capsize=2, label=codec)
    label = "noiseless: no codec, no channel"
    panel.axhline(report.noiseless_accuracy, color="grey", linestyle=":", label=label)
    if cells[0].channel == ChannelModel.AWGN:
        _draw_bounds(panel, report, cells)
    highest = max([report.noiseless_accuracy, *(_interval(cell)[1] for cell in report.summary)])
    panel.set_ylim(0, min(1.03, highest * 1.1))
    panel.grid(alpha=0.3)


def _draw_bounds(panel: Any, report: EvaluationReport, cells: list[CellSummary]) -> None:
    """Accuracy that remains if the best code sends an entry's or a category's number, see `message_error_rate`."""
    sent = {cell.codec: spec.sends for cell in cells if (spec := _installed(cell.codec))}
    of_category = [cell.semantic_accuracy for cell in cells if sent.get(cell.codec) == "category"]
    bounds = []
    if "entry" in sent.values():
        label = "bound of an entry's number, normal approximation"
        bounds.append((report.num_kb_entries, report.noiseless_accuracy, "k-", label))
    if of_category and report.num_categories:
        label = "bound of a category's number, of the highest accuracy with labels"
        bounds.append((report.num_categories, max(of_category), "k--", label))
    rate = parse_rate(str(cells[0].num_symbols))
    line_db = np.linspace(min(cell.snr_db for cell in cells), max(cell.snr_db for cell in cells), 100)
    for num_messages, accuracy, style, label in bounds:
        errors = np.array([message_error_rate(num_messages, rate, snr) for snr in line_db])
        panel.plot(line_db, accuracy * (1 - errors), style, linewidth=0.8, label=label)


def _installed(codec: str) -> CodecSpec | None:
    """The codec's spec; None for a codec of another installation's report."""
    try:
        return find_codec(codec)
    except ConfigError:
        return None


def _interval(cell: CellSummary) -> tuple[float, float]:
    """Confidence interval clipped to 0..1: Student's t is unbounded, and wide for two seeds."""
    if cell.semantic_accuracy_low is None or cell.semantic_accuracy_high is None:
        return cell.semantic_accuracy, cell.semantic_accuracy
    return max(0.0, cell.semantic_accuracy_low), min(1.0, cell.semantic_accuracy_high)
