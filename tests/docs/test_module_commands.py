"""`make` and `python -m` commands of the pages exist, and no page uses a former name of an option."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from semlink.cli.app import app
from semlink.cli.renamed import RENAMED_COMMANDS, RENAMED_OPTIONS, current_arguments
from tests.support.documented import code, code_lines

ROOT = Path(__file__).parents[2]
FORMER_NAMES = ("upgrade.md", "CHANGELOG.md")
"""Pages that are about them."""
PAGES = [
    page
    for page in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *ROOT.glob("engines/**/*.md"))
    if page.name not in FORMER_NAMES
]
SOURCES = [ROOT / "Makefile", *sorted((ROOT / "benchmarks").rglob("*.py")), *sorted((ROOT / "examples").rglob("*.py"))]
OUR_COMMANDS = ("benchmarks.", "examples.")
MAKE = re.compile(r"^make ([a-z][\w-]*)")
MODULE = re.compile(r"^(?:\S*/)?python3? -m ([\w.]+)(.*)")


def commands(pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    """Commands of all pages that a pattern matches."""
    for page in PAGES:
        for line in code(page):
            if match := pattern.match(line):
                yield page, match


def parameters(command: Any) -> Iterator[str]:
    """Names of the options of a command and of those below it, which groups load when asked."""
    for parameter in command.params:
        yield from parameter.opts
    if hasattr(command, "list_commands"):
        context = typer.Context(command)
        for name in command.list_commands(context):
            yield from parameters(command.get_command(context, name))


@cache
def former_names() -> frozenset[str]:
    """Names that no command has today."""
    former = {name for options in RENAMED_OPTIONS.values() for name in options}
    return frozenset(former - set(parameters(typer.main.get_command(app))))


def uses(text: str, names: Collection[str]) -> set[str]:
    return {name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)}


def declared(path: tuple[str, ...]) -> Collection[str] | None:
    is_former = any(path == row.was for row in RENAMED_COMMANDS)
    return None if is_former else list(RENAMED_OPTIONS.get(path, {}).values())


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    found = {match[1]: page.name for page, match in commands(MAKE)}
    assert {"demo", "test", "paper", "bench"} <= set(found)
    assert not set(found) - targets, found


@pytest.mark.parametrize("line", sorted({match[0] for _, match in commands(MODULE)}))
def test_every_module_exists_and_takes_its_options(line: str) -> None:
    match = MODULE.match(line)
    assert match is not None
    name, arguments = match[1], shlex.split(match[2])
    spec = importlib.util.find_spec(name)
    assert spec is not None
    if name.startswith(OUR_COMMANDS):
        module = importlib.import_module(f"{name}.__main__" if spec.submodule_search_locations else name)
        program = typer.Typer()
        program.command()(module.main)
        typer.main.get_command(program).make_context(name, arguments)


def test_pages_with_module_commands_are_seen() -> None:
    """Else the test above would have no cases."""
    assert {match[1] for _, match in commands(MODULE)} >= {"benchmarks.studies", "benchmarks.quantization"}


@pytest.mark.parametrize("path", [*PAGES, *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_former_name_of_an_option(path: Path) -> None:
    assert not uses(path.read_text(encoding="utf-8"), former_names())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_with_a_former_name(page: Path) -> None:
    for line in code(page):
        if line.startswith("semlink "):
            words = line.split()[1:]
            assert current_arguments(words, declared) == words


def test_former_names_are_found() -> None:
    assert "--num-threads" in former_names()
    assert uses('tx "--num-threads" 2, --batch-size', ["--num-threads", "--batch"]) == {"--num-threads"}


def test_blocks_of_both_kinds_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("A line:\n\n    semlink rx \\\n        --kb K\n\n```sh\nmake test\n```\n\n`python -m x`\n")
    assert code_lines(page) == ["make test", "semlink rx --kb K"]
    assert code(page)[-1] == "python -m x"
