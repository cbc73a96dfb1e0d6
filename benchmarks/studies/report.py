"""What a study found: points of a figure, and the figure."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import msgspec

from semlink.machine import describe_device, installed_versions, now_utc
from trainer.intervals import Interval, confidence_interval

__all__ = ["Point", "StudyReport", "draw", "summary"]


class Point(msgspec.Struct, frozen=True):
    """One measurement: a curve's name, where on the axis, which seed, and the share that was right."""

    curve: str
    x: float | str
    seed: int
    semantic_accuracy: float


class StudyReport(msgspec.Struct, frozen=True):
    """A study's JSON."""

    name: str
    command: str
    date: str
    device: str
    versions: dict[str, str]
    x_label: str
    points: list[Point]

    @classmethod
    def of(cls, name: str, x_label: str, points: list[Point]) -> StudyReport:
        """Add when, where and with what."""
        command = f"python -m benchmarks.studies {name}"
        return cls(name, command, now_utc(), describe_device(), installed_versions(), x_label, points)


def summary(report: StudyReport) -> dict[str, dict[float | str, Interval]]:
    """Mean and interval over seeds, by curve and place on the axis, in the order of the points."""
    values: dict[str, dict[float | str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for point in report.points:
        values[point.curve][point.x].append(point.semantic_accuracy)
    return {curve: {x: confidence_interval(found) for x, found in places.items()} for curve, places in values.items()}


def draw(report: StudyReport, path: Path) -> None:
    """Curves over numbers, or bars over names."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    curves = summary(report)
    names = list(dict.fromkeys(x for places in curves.values() for x in places))
    is_numeric = all(isinstance(name, (int, float)) for name in names)
    for number, (curve, places) in enumerate(curves.items()):
        means = [interval.mean for interval in places.values()]
        # One seed, or none that differs, has no spread to draw.
        spread = [min(interval.high - interval.mean, 1.0) for interval in places.values()]
        spread = [0.0 if half == 1.0 else half for half in spread]
        if is_numeric:
            axes.errorbar(list(places), means, yerr=spread, fmt="o-", markersize=3, capsize=2, label=curve)
        else:
            width = 0.8 / len(curves)
            shifted = [names.index(x) + (number - (len(curves) - 1) / 2) * width for x in places]
            axes.bar(shifted, means, width, yerr=spread, capsize=2, label=curve)
    if not is_numeric:
        axes.set_xticks(range(len(names)), [str(name) for name in names], fontsize="small")
    elif min(float(name) for name in names) > 0 and max(float(name) for name in names) > 30:
        axes.set_xscale("log", base=2)
        axes.set_xticks([float(name) for name in names], [f"{float(name):g}" for name in names])
        axes.minorticks_off()
    axes.set(xlabel=report.x_label, ylabel="semantic accuracy")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=120)
