"""Tables and figures of semantic accuracy: evaluations and studies."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.report.charts import new_figure, save_figure
from benchmarks.report.files import ReportFile
from benchmarks.report.page import Chart, Section, Table
from benchmarks.report.schemas import StudyReport
from semlink.report import read_report
from trainer.evaluation.plot import plot_report
from trainer.evaluation.report import CellSummary, EvaluationReport
from trainer.intervals import Interval, confidence_interval

__all__ = ["draw_study", "evaluation_table", "section", "study_curves", "study_table"]

Position = float | str
"""On the axis of a study."""


def section(file: ReportFile, facts: tuple[tuple[str, str], ...]) -> Section:
    """Show an evaluation or a study."""
    if file.report.kind == "study":
        study = read_report(file.path, StudyReport)
        chart = Chart(f"semantic accuracy: {study.name}", partial(draw_study, study))
        return Section(file.title, chart=chart, tables=(study_table(study),), facts=facts)
    report = read_report(file.path, EvaluationReport)
    return Section(
        file.title,
        verdict=_verdict(report),
        chart=Chart("semantic accuracy against SNR", partial(plot_report, report)),
        tables=(evaluation_table(report.summary),),
        figures=(("images sent", f"{report.num_sent:,}"), ("entries of the KB", f"{report.num_kb_entries:,}")),
        facts=facts,
    )


def _verdict(report: EvaluationReport) -> str:
    """Name the best codec of each channel over all of its rates and SNRs."""
    means: dict[tuple[str, str], list[float]] = defaultdict(list)
    for cell in report.summary:
        means[cell.channel_title, cell.codec].append(cell.semantic_accuracy)
    best: dict[str, tuple[float, str]] = {}
    for (channel, codec), values in means.items():
        best[channel] = max(best.get(channel, (0.0, "")), (sum(values) / len(values), codec))
    named = "; ".join(f"{channel}: {codec}, {mean:.3f}" for channel, (mean, codec) in best.items())
    return (
        f"Highest mean accuracy over all rates and SNRs: {named}. Noiseless retrieval: {report.noiseless_accuracy:.3f}."
    )


def evaluation_table(cells: Sequence[CellSummary]) -> Table:
    """Rows of codec, channel and rate, columns of SNR."""
    snr_db = sorted({cell.snr_db for cell in cells})
    texts = {(cell.codec, cell.channel, cell.num_symbols, cell.snr_db): cell.accuracy_text for cell in cells}
    rows = []
    for codec, channel, num_symbols in dict.fromkeys((cell.codec, cell.channel, cell.num_symbols) for cell in cells):
        values = [texts.get((codec, channel, num_symbols, snr), "") for snr in snr_db]
        rows.append((codec, channel, str(num_symbols), *values))
    headers = ("codec", "channel", "symbols", *(f"{snr:g} dB" for snr in snr_db))
    return Table.of(headers, rows, text_columns=["codec", "channel"])


def study_curves(report: StudyReport) -> dict[str, dict[Position, Interval]]:
    """Mean and interval over seeds, by curve and position on the axis, in the order of the points."""
    values: dict[str, dict[Position, list[float]]] = defaultdict(lambda: defaultdict(list))
    for point in report.points:
        values[point.curve][point.x].append(point.semantic_accuracy)
    return {curve: {x: confidence_interval(found) for x, found in points.items()} for curve, points in values.items()}


def study_table(report: StudyReport) -> Table:
    """Rows of curves, columns of positions on the axis."""
    curves = study_curves(report)
    positions = list(dict.fromkeys(x for points in curves.values() for x in points))
    if all(isinstance(x, (int, float)) for x in positions):
        positions.sort(key=float)
    names = [f"{x:g}" if isinstance(x, (int, float)) else x.replace("\n", ", ") for x in positions]
    rows = [
        (curve, *(_interval_text(points[x]) if x in points else "" for x in positions))
        for curve, points in curves.items()
    ]
    return Table.of((report.x_label or "curve", *names), rows, text_columns=[report.x_label or "curve"])


def _interval_text(interval: Interval) -> str:
    half = interval.high - interval.mean
    return f"{interval.mean:.3f} ±{half:.3f}" if math.isfinite(half) else f"{interval.mean:.3f}"


def draw_study(report: StudyReport, path: Path) -> None:
    """Draw curves over numbers, or bars over names."""
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    curves = study_curves(report)
    positions = list(dict.fromkeys(x for points in curves.values() for x in points))
    is_numeric = all(isinstance(x, (int, float)) for x in positions)
    for order, (curve, points) in enumerate(curves.items()):
        means = [interval.mean for interval in points.values()]
        # A single seed has no interval, and two may have one that is wider than the axis.
        halves = [interval.high - interval.mean for interval in points.values()]
        spread = [half if half < 1.0 else 0.0 for half in halves]
        if is_numeric:
            axes.errorbar(list(points), means, yerr=spread, fmt="o-", markersize=3, capsize=2, label=curve)
        else:
            width = 0.8 / len(curves)
            shifted = [positions.index(x) + (order - (len(curves) - 1) / 2) * width for x in points]
            axes.bar(shifted, means, width, yerr=spread, capsize=2, label=curve)
    if not is_numeric:
        axes.set_xticks(range(len(positions)), [str(x) for x in positions], fontsize="small")
    elif min(map(float, positions)) > 0 and max(map(float, positions)) > 30:
        axes.set_xscale("log", base=2)
        axes.set_xticks([float(x) for x in positions], [f"{float(x):g}" for x in positions])
        axes.minorticks_off()
    axes.set(xlabel=report.x_label, ylabel="semantic accuracy")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small")
    save_figure(figure, path)
