"""report.html needs no network, and shows what was sent and retrieved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="needs semlink[demo]")
pytest.importorskip("matplotlib", reason="needs semlink[demo]")

from semlink.errors import ResultsError
from semlink.rates import parse_rate
from trainer.demo.config import DemoConfig, LinkSettings
from trainer.demo.link import LinkRun
from trainer.demo.measure import measure_cell, read_retrievals
from trainer.demo.page import write_page
from trainer.demo.report import DatasetReport, DatasetRun, DemoReport


@pytest.fixture
def run(
    logged_run: Callable[..., LinkRun],
    picture_folder: Path,
    demo_kb: Path,
    settings: Callable[..., LinkSettings],
) -> DatasetRun:
    """One run whose first two images of twelve have incorrect matches."""
    labels = {str(path): path.parent.name for path in picture_folder.rglob("*.png")}
    logged = logged_run(num_incorrect=2)
    found = read_retrievals(logged, labels)
    report = DatasetReport("<pictures>", "the labels agree", 1.0, 12, 0, [measure_cell(logged, found, settings())])
    return DatasetRun(report, (tuple(found),), demo_kb)


@pytest.fixture
def report(run: DatasetRun) -> DemoReport:
    return DemoReport.of([run], DemoConfig(rates=(parse_rate("64"),)), encoder="builtin", command="semlink demo")


def test_the_page_shows_images_and_figures(report: DemoReport, run: DatasetRun, tmp_path: Path) -> None:
    write_page(report, [run], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2 * 8
    assert page.count("data:image/svg+xml;base64,") == 2
    assert page.count('class="incorrect"') + page.count('class="correct"') == 8
    assert page.count('class="incorrect"') >= 1
    assert "A retrieval is correct if the labels agree." in page
    assert "&lt;pictures&gt;" in page
    assert "83.3 %" in page


def test_the_page_loads_nothing(report: DemoReport, run: DatasetRun, tmp_path: Path) -> None:
    write_page(report, [run], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'src="http' not in page
    assert 'href="http' not in page
    assert "<script" not in page


def test_a_page_that_cannot_be_written_is_one_error(report: DemoReport, run: DatasetRun, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"report\.html: No such file"):
        write_page(report, [run], tmp_path / "none" / "report.html")
