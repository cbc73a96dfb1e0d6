"""`make bench-demo`: times, the README's block, and the picture at its top."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from PIL import Image

pytest.importorskip("faiss", reason="needs semlink[cpu]")
pytest.importorskip("jinja2", reason="needs semlink[demo]")
pytest.importorskip("matplotlib", reason="needs semlink[demo]")
pytest.importorskip("sklearn", reason="needs semlink[demo]")
pytest.importorskip("skimage", reason="needs semlink[demo]")

from benchmarks import demo
from benchmarks.demo import TimedDemoReport, readme_with, time_demo
from semlink.errors import ConfigError, ResultsError
from semlink.report import read_report

MAX_PICTURE_BYTES = 150_000
MARKS = "before\n<!-- demo -->\n{}<!-- end of demo -->\nafter\n"


@pytest.fixture(scope="module")
def committed() -> TimedDemoReport:
    return read_report(demo.REPORT, TimedDemoReport)


def test_the_readme_has_the_figures_of_the_committed_report(committed: TimedDemoReport) -> None:
    text = demo.README.read_text(encoding="utf-8")
    assert readme_with(text, committed) == text


def test_the_block_has_times_and_every_run(committed: TimedDemoReport) -> None:
    report = msgspec.structs.replace(committed, wall_s=41.7, first_run_s=7.2, cpu_s=70.4)
    page = readme_with(MARKS.format("old\n"), report)
    assert page.startswith("before\n<!-- demo -->\n")
    assert page.endswith("<!-- end of demo -->\nafter\n")
    assert "old" not in page
    assert "took 42 s without the installation (70 s of CPU time)" in page
    assert "first finished run after 7 s" in page
    num_cells = sum(len(dataset.cells) for dataset in report.datasets)
    assert len([line for line in page.splitlines() if line.startswith((" photos ", " digits "))]) == num_cells


def test_a_page_without_the_block_is_an_error_before_anything_is_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ConfigError, match="has no lines <!-- demo -->"):
        demo.main(runs=1, out=tmp_path / "report.json", picture=tmp_path / "picture.webp", readme=page)


def test_the_committed_picture_is_small() -> None:
    assert demo.PICTURE.stat().st_size < MAX_PICTURE_BYTES
    with Image.open(demo.PICTURE) as picture:
        assert picture.width > 1_000


@pytest.mark.process
def test_the_fastest_run_is_reported_with_its_times(picture_folder: Path, tmp_path: Path) -> None:
    arguments = ("--data", str(picture_folder), "--codec", "nested", "--snr-db=10")
    report = time_demo(tmp_path, 2, *arguments)
    assert 0.0 < report.first_run_s < report.wall_s
    assert report.cpu_s > 0.0
    assert report.command == "make bench-demo"
    assert [cell.codec for cell in report.datasets[0].cells] == ["nested"]
    assert len(list(tmp_path.glob("run-*/report.json"))) == 2


@pytest.mark.process
def test_a_demonstration_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"semlink demo .* failed: .*nowhere"):
        time_demo(tmp_path, 1, "--data", "nowhere")


@pytest.mark.process
def test_the_picture_is_drawn_from_the_photographs(tmp_path: Path) -> None:
    demo.draw_picture(tmp_path / "report", tmp_path / "picture.webp")
    assert (tmp_path / "picture.webp").stat().st_size < MAX_PICTURE_BYTES
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count('class="photograph"') == len(demo.SHOWN)
    assert all(f'alt="sent: {name}"' in page for name in demo.SHOWN)
