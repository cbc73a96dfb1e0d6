"""Charts of a demonstration as SVG elements that take their colour of lines and text from the page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from trainer.demo.report import DatasetReport

__all__ = ["accuracy_chart", "latency_chart"]

_FIGURE_SIZE_INCH = (5.2, 3.6)
_NUM_BINS = 60
_TEXT_COLOUR = "#010203"
"""Replaced by the page's colour of text; a colour that nothing else has."""
_SERIES_COLOURS = ("#2b83d6", "#e0711a", "#2f9e5b", "#a45bd1", "#c2417c", "#8a8f00")
"""Legible on white and on black: contrast of 3 or more on both."""
_STYLE = {
    "svg.fonttype": "none",
    "text.color": _TEXT_COLOUR,
    "axes.labelcolor": _TEXT_COLOUR,
    "axes.edgecolor": _TEXT_COLOUR,
    "xtick.color": _TEXT_COLOUR,
    "ytick.color": _TEXT_COLOUR,
    "legend.frameon": False,
}


def accuracy_chart(report: DatasetReport) -> Markup:
    """Semantic accuracy over SNR, a curve for each codec and rate, with 95 % intervals."""
    with rc_context(_STYLE):
        figure = Figure(figsize=_FIGURE_SIZE_INCH, layout="constrained")
        axes = figure.subplots()
        curves = dict.fromkeys((cell.codec, cell.num_symbols) for cell in report.cells)
        for number, (codec, num_symbols) in enumerate(curves):
            curve = (cell for cell in report.cells if (cell.codec, cell.num_symbols) == (codec, num_symbols))
            cells = sorted(curve, key=lambda cell: cell.snr_db)
            means = np.array([cell.semantic_accuracy for cell in cells])
            below = means - [cell.semantic_accuracy_low for cell in cells]
            above = [cell.semantic_accuracy_high for cell in cells] - means
            axes.errorbar(
                [cell.snr_db for cell in cells],
                means,
                yerr=[below, above],
                fmt="o-",
                capsize=3,
                color=_SERIES_COLOURS[number % len(_SERIES_COLOURS)],
                label=f"{codec}, {num_symbols} symbols for each image",
            )
        label = "noiseless (no codec, no channel)"
        axes.axhline(report.noiseless_accuracy, color=_TEXT_COLOUR, alpha=0.6, linestyle=":", label=label)
        axes.set(title=report.dataset, xlabel="SNR Es/N0 [dB]", ylabel="semantic accuracy", ylim=(0, 1.03))
        axes.set_xlim(min(cell.snr_db for cell in report.cells) - 1, max(cell.snr_db for cell in report.cells) + 1)
        axes.grid(color=_TEXT_COLOUR, alpha=0.15)
        axes.legend(fontsize="small", loc="lower right")
        return _svg(figure, f"{report.dataset}: semantic accuracy against SNR")


def latency_chart(latency_ms: Sequence[float]) -> Markup:
    """Histogram of end-to-end latency [ms], without the slowest 0.5 %."""
    with rc_context(_STYLE):
        figure = Figure(figsize=_FIGURE_SIZE_INCH, layout="constrained")
        axes = figure.subplots()
        end_ms = float(np.percentile(latency_ms, 99.5)) if latency_ms else 1.0
        axes.hist(latency_ms, bins=_NUM_BINS, range=(0.0, end_ms), color=_SERIES_COLOURS[0])
        axes.set(title="image in memory to match in memory", xlabel="latency [ms]", ylabel="number of frames")
        return _svg(figure, "latency histogram")


def _svg(figure: Figure, description: str) -> Markup:
    """The figure as an element to stand in a page, with a viewBox in place of a fixed size."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    element = buffer.getvalue()
    element = element[element.index("<svg") :].replace(_TEXT_COLOUR, "currentColor")
    element = re.sub(r' (?:width|height)="[\d.]+pt"', "", element, count=2)
    # matplotlib has escaped the element's text.
    opening = Markup('<figure class="chart" role="img" aria-label="{}">').format(description)
    return opening + Markup(element) + Markup("</figure>")  # noqa: S704
