"""A page of benchmark reports as Markdown or HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report.page import Page
from semlink.errors import ConfigError, MissingDependencyError, ResultsError
from semlink.files import replaced_file

__all__ = ["as_html", "as_markdown", "require_renderer", "write_page"]

_MARKUP = re.compile(r"[\\`*~<>|]|\b_|_\b|\](?=[(\[])")
"""What GitHub's Markdown would take for markup inside a line; an underscore within a word it leaves alone."""


def as_markdown(page: Page) -> str:
    r"""GitHub's Markdown; names from files cannot break the table nor become tags.

    Examples
    --------
    >>> from benchmarks.report.page import Section
    >>> print(as_markdown(Page("Latency", (Section("a|b.json"),))))
    # Latency
    <BLANKLINE>
    ## a\|b.json
    <BLANKLINE>
    """
    lines = [f"# {_text(page.title)}", ""]
    for section in page.sections:
        lines += [f"## {_text(section.title)}", ""]
        if section.facts:
            lines += [*(f"- {_text(name)}: {_text(value)}" for name, value in section.facts), ""]
        for sentence in section.before:
            lines += [_text(sentence), ""]
        if section.table is not None:
            table = section.table
            rules = ("---:" if table.is_number(column) else "---" for column in range(len(table.headers)))
            lines += [_row(table.headers), f"|{'|'.join(rules)}|", *map(_row, table.rows), ""]
        for sentence in section.after:
            lines += [_text(sentence), ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_text(cell) for cell in cells)} |"


def _text(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def as_html(page: Page) -> str:
    """One file, no network.

    Raises
    ------
    MissingDependencyError
        If jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise MissingDependencyError.of("jinja2", extra="demo", purpose="a report in HTML") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("page.html.j2").render(page=page)


_RENDERERS = {".md": as_markdown, ".html": as_html}


def require_renderer(path: Path) -> None:
    """Refuse a file that is neither .md nor .html; ConfigError then."""
    if path.suffix not in _RENDERERS:
        raise ConfigError(f'--out must end in .md or .html, got "{path}"')


def write_page(page: Page, path: Path) -> None:
    """Write the page as its suffix says, whole or not at all.

    Raises
    ------
    ConfigError
        If the suffix is neither .md nor .html.
    MissingDependencyError
        If it is HTML and jinja2 is not installed.
    ResultsError
        If it cannot be written.
    """
    require_renderer(path)
    text = _RENDERERS[path.suffix](page)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None
