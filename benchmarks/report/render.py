"""Writes a page as Markdown or HTML."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report.page import Chart, Page, Table
from semlink.errors import ConfigError, packages_of
from semlink.files import replaced_file
from semlink.report import writing_results

__all__ = ["as_html", "as_markdown", "markdown_table", "write_page"]

_MARKUP = re.compile(r"[\\`*~<>|]|\b_|_\b|\](?=[(\[])")
"""What GitHub's Markdown would take for markup inside a line; an underscore within a word it leaves alone."""


def as_markdown(page: Page, charts: Sequence[str] = ()) -> str:
    r"""Write GitHub's Markdown; names from files cannot break a table nor become tags.

    Parameters
    ----------
    charts : file of each section's chart, where it is drawn; empty text for a section without one

    Examples
    --------
    >>> from benchmarks.report.page import Section
    >>> print(as_markdown(Page("Latency", (Section("a|b.json"),))))
    # Latency
    <BLANKLINE>
    ## a\|b.json
    <BLANKLINE>
    """
    blocks = [f"# {_text(page.title)}"]
    for position, section in enumerate(page.sections):
        blocks.append(f"## {_text(section.title)}")
        if section.verdict:
            blocks.append(f"**{_text(section.verdict)}**")
        blocks += _list(section.figures)
        if section.chart is not None and position < len(charts):
            blocks.append(f"![{_text(section.chart.title)}]({charts[position]})")
        blocks += [markdown_table(table) for table in section.tables]
        blocks += map(_text, section.remarks)
        blocks += _list(section.facts)
    return "\n\n".join(blocks) + "\n"


def _list(facts: Sequence[tuple[str, str]]) -> list[str]:
    return ["\n".join(f"- {_text(name)}: {_text(value)}" for name, value in facts)] if facts else []


def markdown_table(table: Table) -> str:
    """Write a table in GitHub's Markdown."""
    rules = ("---:" if table.is_number(column) else "---" for column in range(len(table.headers)))
    return "\n".join([_row(table.headers), f"|{'|'.join(rules)}|", *map(_row, table.rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_text(cell) for cell in cells)} |"


def _text(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def as_html(page: Page) -> str:
    """Write one file that needs no network, with its charts.

    Raises
    ------
    MissingDependencyError
        If jinja2 or matplotlib is not installed.
    """
    with packages_of("demo", purpose="a page in HTML"):
        import jinja2
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    sections = [(section, _data_uri(section.chart)) for section in page.sections]
    return environment.get_template("page.html.j2").render(title=page.title, sections=sections)


def _data_uri(chart: Chart | None) -> str:
    if chart is None:
        return ""
    with tempfile.TemporaryDirectory(prefix="semlink-chart-") as folder:
        path = Path(folder, "chart.svg")
        chart.draw(path)
        return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def write_page(page: Page, path: Path) -> None:
    """Write the page in the format of the suffix, whole or not at all; charts of Markdown lie beside it.

    Raises
    ------
    ConfigError
        If the suffix is neither .md nor .html.
    MissingDependencyError
        If a package that the format needs is not installed.
    ResultsError
        If a file cannot be written.
    """
    if path.suffix not in (".md", ".html"):
        raise ConfigError(f'--out must end in .md or .html, got "{path}"')
    with writing_results(path):
        text = as_html(page) if path.suffix == ".html" else as_markdown(page, _write_charts(page, path))
        with replaced_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _write_charts(page: Page, path: Path) -> list[str]:
    """Draw each section's chart beside a Markdown file; names of the files, empty for sections without one."""
    names = []
    for position, section in enumerate(page.sections, start=1):
        name = f"{path.stem}-{position}.svg" if section.chart is not None else ""
        if section.chart is not None:
            section.chart.draw(path.with_name(name))
        names.append(name)
    return names
