"""report.html needs no network, and shows what was sent and retrieved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("jinja2", reason="needs semlink[demo]")
pytest.importorskip("matplotlib", reason="needs semlink[demo]")

from semlink.errors import ResultsError
from semlink.rates import parse_rate
from trainer.demo.config import DemoConfig, LinkSettings
from trainer.demo.gallery import Gallery, ShownImage, ShownMatch, make_gallery
from trainer.demo.measure import Retrieval
from trainer.demo.page import write_page
from trainer.demo.report import DatasetRun, DemoReport
from trainer.demo.stills import needed_symbols, smallest_still


@pytest.fixture
def run(dataset_run: Callable[..., DatasetRun], settings: Callable[..., LinkSettings]) -> DatasetRun:
    """Three runs of twelve small pictures; in the third, two have incorrect matches."""
    return dataset_run("<pictures>", [settings(), settings(snr_db=5.0), settings(snr_db=10.0)])


@pytest.fixture
def report(run: DatasetRun) -> DemoReport:
    config = DemoConfig(rates=(parse_rate("64"),))
    return DemoReport.of([run.report], config, encoder="builtin", command="semlink demo")


def page_of(report: DemoReport, run: DatasetRun, gallery: Gallery, folder: Path) -> str:
    write_page(report, [run], [gallery], folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def photograph_gallery(*, num_symbols: int) -> Gallery:
    """One photograph, found at -7 dB and not at 10 dB."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((320, 240))
    matches = [
        ShownMatch(snr_db, picture, Retrieval("cat.png", "cat", 1, label, 0.25, 5.0))
        for snr_db, label in ((-7.0, "cat"), (10.0, "dog"))
    ]
    image = ShownImage("cat", picture, matches, smallest_still(picture))
    return Gallery("nested", "1/48", num_symbols, [image], are_photographs=True)


def test_small_images_are_shown_in_a_table(report: DemoReport, run: DatasetRun, tmp_path: Path) -> None:
    page = page_of(report, run, make_gallery(run), tmp_path)
    assert page.count("data:image/png;base64,") == (1 + 3) * 8
    assert page.count('class="incorrect"') + page.count('class="correct"') == 3 * 8
    assert page.count('class="incorrect"') >= 1
    assert "confidence 0.90" in page
    assert "A retrieval is correct if the labels agree." in page
    assert "&lt;pictures&gt;" in page
    assert "83.3 %" in page


def test_a_photograph_is_beside_the_still_that_does_not_fit(
    report: DemoReport, run: DatasetRun, tmp_path: Path
) -> None:
    gallery = photograph_gallery(num_symbols=64)
    page = page_of(report, run, gallery, tmp_path)
    assert page.count('class="nothing"') == 2
    assert page.count('class="correct"') == page.count('class="incorrect"') == 1
    assert "64 symbols carry 2 bytes at -7 dB" in page
    assert "64 symbols carry 27 bytes at 10 dB" in page
    still = gallery.images[0].still
    assert still is not None
    assert f"as a still, {still.num_bytes} bytes" in page
    assert f"the still needs {needed_symbols(still.num_bytes, -7.0):,} symbols" in page


def test_a_still_that_fits_is_shown(report: DemoReport, run: DatasetRun, tmp_path: Path) -> None:
    gallery = photograph_gallery(num_symbols=1)
    still = gallery.images[0].still
    assert still is not None
    enough = needed_symbols(still.num_bytes, 10.0)
    page = page_of(report, run, photograph_gallery(num_symbols=enough), tmp_path)
    assert page.count('class="nothing"') == 1  # at -7 dB
    assert page.count('alt="still of cat"') == 2
    too_few = page_of(report, run, photograph_gallery(num_symbols=enough - 1), tmp_path)
    assert too_few.count('class="nothing"') == 2


def test_the_charts_are_part_of_the_page_and_follow_its_colours(
    report: DemoReport, run: DatasetRun, tmp_path: Path
) -> None:
    page = page_of(report, run, make_gallery(run), tmp_path)
    assert page.count("<svg ") == page.count('class="chart"') == 2
    assert "currentColor" in page
    assert "prefers-color-scheme: dark" in page


def test_the_page_loads_nothing(report: DemoReport, run: DatasetRun, tmp_path: Path) -> None:
    page = page_of(report, run, photograph_gallery(num_symbols=64), tmp_path)
    assert 'src="http' not in page
    assert 'href="http' not in page
    assert "<script" not in page


def test_a_page_that_cannot_be_written_is_one_error(report: DemoReport, run: DatasetRun, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"report\.html: No such file"):
        page_of(report, run, make_gallery(run), tmp_path / "none")
