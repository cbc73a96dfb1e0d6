"""report.html: one file, no network; what was sent beside what came back, accuracy, latency."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edge_rx.kb.knowledge_base import KnowledgeBase
from semlink.errors import ImageError, MissingDependencyError, ResultsError
from semlink.image import load_image
from trainer.demo.run import DatasetRun, DemoReport

__all__ = ["write_page"]

_THUMBNAIL_PX = 96
_ROWS_SHOWN = 8


@dataclass(frozen=True)
class _Answer:
    snr_db: float
    image: str
    label: str
    score: float
    is_right: bool


@dataclass(frozen=True)
class _Row:
    sent: str
    label: str
    answers: list[_Answer]


def write_page(report: DemoReport, runs: Sequence[DatasetRun], path: Path) -> None:
    """Render the page.

    Raises
    ------
    MissingDependencyError
        If jinja2 or matplotlib is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise MissingDependencyError.of("jinja2", extra="demo", purpose="the demo's report") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("page.html.j2").render(
        report=report,
        accuracy_plots=[_accuracy_plot(run) for run in runs],
        latency_plot=_latency_plot(runs[0]),
        galleries=[(run.name, _gallery(run)) for run in runs],
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None


def _gallery(run: DatasetRun) -> list[_Row]:
    """Images spread over the stream, each with what the first codec and rate retrieved at every SNR."""
    cells = [
        (cell.snr_db, {found.sent_name: found for found in retrievals})
        for cell, retrievals in zip(run.cells, run.retrievals, strict=True)
        if (cell.codec, cell.num_symbols) == (run.cells[0].codec, run.cells[0].num_symbols)
    ]
    names = sorted(set.intersection(*({*found} for _, found in cells)))
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, min(_ROWS_SHOWN, len(names))).astype(int)]
    with KnowledgeBase.open(run.knowledge_base) as kb:
        return [
            _Row(
                _thumbnail(Path(name)),
                cells[0][1][name].sent_label,
                [
                    _Answer(
                        snr_db,
                        _thumbnail(kb.image_path(kb.record(found[name].entry_id))),
                        found[name].label,
                        found[name].score,
                        found[name].label == found[name].sent_label,
                    )
                    for snr_db, found in cells
                ],
            )
            for name in chosen
        ]


def _thumbnail(path: Path) -> str:
    try:
        picture = Image.fromarray(load_image(path, min_side_px=_THUMBNAIL_PX))
    except ImageError:
        return ""  # the record stands even if its picture was taken from the KB meanwhile
    picture.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return _data_uri(buffer.getvalue(), "image/png")


def _accuracy_plot(run: DatasetRun) -> str:
    figure = _figure()
    axes = figure.subplots()
    for codec, num_symbols in dict.fromkeys((cell.codec, cell.num_symbols) for cell in run.cells):
        curve = (cell for cell in run.cells if (cell.codec, cell.num_symbols) == (codec, num_symbols))
        cells = sorted(curve, key=lambda cell: cell.snr_db)
        means = np.array([cell.semantic_accuracy for cell in cells])
        low = np.array([cell.semantic_accuracy_low for cell in cells])
        high = np.array([cell.semantic_accuracy_high for cell in cells])
        label = f"{codec}, {num_symbols} symbols an image"
        axes.errorbar(
            [c.snr_db for c in cells], means, yerr=[means - low, high - means], fmt="o-", capsize=3, label=label
        )
    axes.axhline(run.noiseless_accuracy, color="grey", linestyle=":", label="ideal (no codec, no channel)")
    axes.set(title=run.name, xlabel="SNR Es/N0 [dB]", ylabel="semantic accuracy", ylim=(0, 1.03))
    axes.set_xlim(min(cell.snr_db for cell in run.cells) - 1, max(cell.snr_db for cell in run.cells) + 1)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return _svg(figure)


def _latency_plot(run: DatasetRun) -> str:
    figure = _figure()
    axes = figure.subplots()
    latency_ms = [found.latency_ms for retrievals in run.retrievals for found in retrievals]
    axes.hist(latency_ms, bins=60, range=(0.0, float(np.percentile(latency_ms, 99.5)) if latency_ms else 1.0))
    axes.set(title="image in memory to match in memory", xlabel="latency [ms]", ylabel="frames")
    return _svg(figure)


def _figure():  # type: ignore[no-untyped-def]  # matplotlib has no types of its own here
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError.of("matplotlib", extra="demo", purpose="the demo's report") from None
    return Figure(figsize=(5.2, 3.6), layout="constrained")


def _svg(figure) -> str:  # type: ignore[no-untyped-def]
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return _data_uri(buffer.getvalue(), "image/svg+xml")


def _data_uri(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
