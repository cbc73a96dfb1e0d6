"""report.html: one file that needs no network, with sent and retrieved images, accuracy and latency."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from edge_rx.kb.knowledge_base import KnowledgeBase
from semlink.errors import ImageError, ResultsError
from semlink.image import load_image
from trainer.demo.measure import Retrieval
from trainer.demo.report import DatasetRun, DemoReport

__all__ = ["write_page"]

_THUMBNAIL_PX = 96
_NUM_ROWS = 8
_NUM_BINS = 60
_FIGURE_SIZE_INCH = (5.2, 3.6)


@dataclass(frozen=True)
class _Match:
    snr_db: float
    image: str
    label: str
    score: float
    is_correct: bool


@dataclass(frozen=True)
class _Row:
    sent: str
    label: str
    matches: list[_Match]


def write_page(report: DemoReport, runs: Sequence[DatasetRun], path: Path) -> None:
    """Render the page.

    Raises
    ------
    ResultsError
        If the file cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("page.html.j2").render(
        report=report,
        accuracy_plots=[_accuracy_plot(run) for run in runs],
        latency_plot=_latency_plot(runs[0]),
        galleries=[(run.report, _gallery(run)) for run in runs],
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None


def _gallery(run: DatasetRun) -> list[_Row]:
    """Some sent images, each with the matches of the first codec and rate at every SNR."""
    head = run.report.cells[0]
    cells = [
        (cell.snr_db, {found.sent_name: found for found in retrievals})
        for cell, retrievals in zip(run.report.cells, run.retrievals, strict=True)
        if (cell.codec, cell.rate) == (head.codec, head.rate)
    ]
    names = sorted(set.intersection(*({*found} for _, found in cells)))
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, min(_NUM_ROWS, len(names))).astype(int)]
    with KnowledgeBase.open(run.knowledge_base) as kb:
        return [
            _Row(
                _thumbnail(Path(name)),
                cells[0][1][name].sent_label,
                [_match(snr_db, found[name], kb) for snr_db, found in cells],
            )
            for name in chosen
        ]


def _match(snr_db: float, found: Retrieval, kb: KnowledgeBase) -> _Match:
    image = _thumbnail(kb.image_path(kb.record(found.entry_id)))
    return _Match(snr_db, image, found.label, found.score, found.is_correct)


def _thumbnail(path: Path) -> str:
    try:
        picture = Image.fromarray(load_image(path, min_side_px=_THUMBNAIL_PX))
    except ImageError:
        return ""  # removed since it was sent or retrieved; its label is still shown
    picture.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return _data_uri(buffer.getvalue(), "image/png")


def _accuracy_plot(run: DatasetRun) -> str:
    figure = Figure(figsize=_FIGURE_SIZE_INCH, layout="constrained")
    axes = figure.subplots()
    all_cells = run.report.cells
    for codec, num_symbols in dict.fromkeys((cell.codec, cell.num_symbols) for cell in all_cells):
        curve = (cell for cell in all_cells if (cell.codec, cell.num_symbols) == (codec, num_symbols))
        cells = sorted(curve, key=lambda cell: cell.snr_db)
        means = np.array([cell.semantic_accuracy for cell in cells])
        below = means - [cell.semantic_accuracy_low for cell in cells]
        above = [cell.semantic_accuracy_high for cell in cells] - means
        label = f"{codec}, {num_symbols} symbols for each image"
        axes.errorbar([cell.snr_db for cell in cells], means, yerr=[below, above], fmt="o-", capsize=3, label=label)
    axes.axhline(run.report.noiseless_accuracy, color="grey", linestyle=":", label="noiseless (no codec, no channel)")
    axes.set(title=run.report.dataset, xlabel="SNR Es/N0 [dB]", ylabel="semantic accuracy", ylim=(0, 1.03))
    axes.set_xlim(min(cell.snr_db for cell in all_cells) - 1, max(cell.snr_db for cell in all_cells) + 1)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return _svg(figure)


def _latency_plot(run: DatasetRun) -> str:
    figure = Figure(figsize=_FIGURE_SIZE_INCH, layout="constrained")
    axes = figure.subplots()
    latency_ms = [found.latency_ms for retrievals in run.retrievals for found in retrievals]
    axes.hist(latency_ms, bins=_NUM_BINS, range=(0.0, float(np.percentile(latency_ms, 99.5)) if latency_ms else 1.0))
    axes.set(title="image in memory to match in memory", xlabel="latency [ms]", ylabel="number of frames")
    return _svg(figure)


def _svg(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return _data_uri(buffer.getvalue(), "image/svg+xml")


def _data_uri(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
