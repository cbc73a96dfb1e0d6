"""Pages as Markdown and HTML."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from benchmarks.report.page import Chart, Page, Section, Table
from benchmarks.report.render import as_html, as_markdown, write_page
from semlink.errors import ConfigError, MissingDependencyError, ResultsError

needs_jinja2 = pytest.mark.skipif(importlib.util.find_spec("jinja2") is None, reason="jinja2 is not installed here")

TABLE = Table.of(["stage", "p50 ms", "max ms"], [["decode", "1.000", ""], ["search", "", ""]], text_columns=["stage"])
SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'


def draw(path: Path) -> None:
    path.write_text(SVG)


SECTION = Section(
    "latency.json",
    verdict="It takes 1 ms.",
    figures=(("growth", "0.75"),),
    chart=Chart("latency", draw),
    tables=(TABLE,),
    remarks=("A remark.",),
    facts=(("device", "a board"),),
)
PAGE = Page("Reports", (SECTION, Section("empty.json")))


def test_markdown() -> None:
    assert as_markdown(PAGE) == (
        "# Reports\n\n## latency.json\n\n**It takes 1 ms.**\n\n- growth: 0.75\n\n"
        "| stage | p50 ms |\n|---|---:|\n| decode | 1.000 |\n| search |  |\n\n"
        "A remark.\n\n- device: a board\n\n## empty.json\n"
    )


def test_names_cannot_break_markdown() -> None:
    name = "a|b <script> [x](http://y)\n| c _d_ e_f"
    text = as_markdown(
        Page("Reports", (Section("x", tables=(Table.of(["stage"], [[name]], text_columns=["stage"]),)),))
    )
    row = next(line for line in text.splitlines() if "script" in line)
    assert row == r"| a\|b \<script\> [x\](http://y) \| c \_d\_ e_f |"


@needs_jinja2
def test_html_has_the_same_content() -> None:
    html = as_html(PAGE)
    assert "It takes 1 ms." in html
    assert '<td class="number">1.000</td>' in html
    assert "<dt>device</dt><dd>a board</dd>" in html
    assert html.count('src="data:image/svg+xml;base64,') == 1


@needs_jinja2
def test_names_are_escaped_in_html() -> None:
    name = '<script>alert("1")</script>'
    table = Table.of([name], [[name]])
    html = as_html(Page(name, (Section(name, name, ((name, name),), None, (table,), (name,), ((name, name),)),)))
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 10
    assert "http" not in html


@needs_jinja2
def test_html_file(tmp_path: Path) -> None:
    write_page(PAGE, tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text() == as_html(PAGE)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]


def test_charts_of_markdown_lie_beside_it(tmp_path: Path) -> None:
    write_page(PAGE, tmp_path / "report.md")
    assert "![latency](report-1.svg)" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "report-1.svg").read_text() == SVG
    assert len(list(tmp_path.iterdir())) == 2


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingDependencyError, match=r"HTML needs jinja2.*\.\[demo\]"):
        write_page(PAGE, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match=r"report\.md"):
        write_page(PAGE, tmp_path / "file" / "report.md")
    with pytest.raises(ConfigError, match=r"must end in \.md or \.html"):
        write_page(PAGE, tmp_path / "report.pdf")


def test_the_template_is_packed() -> None:
    root = Path(__file__).parents[3]
    assert (root / "benchmarks" / "report" / "page.html.j2").is_file()
    assert '"report/*.j2"' in (root / "setup.py").read_text()
