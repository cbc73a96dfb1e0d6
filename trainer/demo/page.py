"""report.html: one file that needs no network, with sent and retrieved images, accuracy and latency."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import jinja2
from PIL import Image

from semlink.errors import ResultsError
from trainer.demo.charts import accuracy_chart, latency_chart
from trainer.demo.gallery import Gallery
from trainer.demo.measure import Retrieval
from trainer.demo.report import DatasetRun, DemoReport
from trainer.demo.stills import LONGER_SIDE_PX, QUALITIES, carried_bytes, needed_symbols

__all__ = ["write_page"]

_MAX_LOSSLESS_PX = 96


def write_page(report: DemoReport, runs: Sequence[DatasetRun], galleries: Sequence[Gallery], path: Path) -> None:
    """Render the page.

    Parameters
    ----------
    runs, galleries : of each dataset, in the report's order

    Raises
    ------
    ResultsError
        If the file cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data_uri": _data_uri, "certainty": _certainty}
    page = environment.get_template("page.html.j2").render(
        report=report,
        sections=list(zip(report.datasets, galleries, strict=True)),
        accuracy_charts=[accuracy_chart(dataset) for dataset in report.datasets],
        latency_chart=latency_chart(
            [found.latency_ms for run in runs for retrievals in run.retrievals for found in retrievals]
        ),
        still_side_px=LONGER_SIDE_PX,
        still_qualities=" or ".join(f"{name} at quality {quality}" for name, quality in QUALITIES.items()),
        carried_bytes=carried_bytes,
        needed_symbols=needed_symbols,
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None


def _certainty(found: Retrieval) -> str:
    """How sure the receiver is of a match, as the page shows it everywhere."""
    return f"confidence {found.confidence:.2f}"


def _data_uri(picture: Image.Image | None) -> str:
    if picture is None:
        return ""
    buffer = io.BytesIO()
    if max(picture.size) <= _MAX_LOSSLESS_PX:
        media_type = "image/png"
        picture.save(buffer, "PNG")
    else:
        media_type = "image/jpeg"
        picture.save(buffer, "JPEG", quality=85)
    return f"data:{media_type};base64,{base64.b64encode(buffer.getvalue()).decode()}"
