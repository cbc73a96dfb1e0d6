"""Every `semlink` command of the README and of docs/ is one that today's command line takes; those of the tour run."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
import typer.main

pytest.importorskip("faiss", reason="needs semlink[cpu]")
pytest.importorskip("sklearn", reason="needs semlink[demo]")

from semlink.cli.app import app
from tests.support.documented import code_lines
from tests.support.processes import run_semlink, start_semlink
from trainer.datasets.base import write_folder
from trainer.datasets.digits import open_digits

ROOT = Path(__file__).parents[2]
NO_COMMANDS = {"upgrade.md": "former names", "wire-format.md": "prefixes of hashes"}
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in NO_COMMANDS)]
NUM_PICTURES = 260

ONE_SHOT = (
    "kb build",
    "kb search",
    "kb forecast",
    "kb verify",
    "kb export-entries",
    "kb export-codebook",
    "engine build",
    "engine bench",
    "train codec --data my-photos/",
    "kb project",
)
"""Commands of the README that end by themselves and need nothing that a test has not; in the README's order."""


def documented_commands(page: Path) -> list[str]:
    """Lines of code blocks that start with semlink."""
    return [line for line in code_lines(page) if line.startswith("semlink ")]


def parse(words: list[str]) -> None:
    """Parse a command line down to its last command, without running it."""
    command: Any = typer.main.get_command(app)
    context, rest = None, words
    name = "semlink"
    while True:
        context = command.make_context(name, rest, parent=context)
        if not hasattr(command, "resolve_command"):
            return
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])


@pytest.mark.parametrize(
    ("page", "line"),
    [pytest.param(page, line, id=f"{page.name}: {line}") for page in PAGES for line in documented_commands(page)],
)
def test_the_command_line_takes_it(page: Path, line: str) -> None:
    parse(shlex.split(line)[1:])


def test_a_wrong_option_is_found() -> None:
    """Else the test above would prove nothing."""
    with pytest.raises(Exception, match=r"(?i)no such option"):
        parse(["kb", "build", "my-photos", "--out", "my-kb", "--no-such-option"])


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with my-photos/ and photo.jpg, in which the README's commands work as they stand."""
    folder = tmp_path_factory.mktemp("sandbox")
    write_folder(open_digits().sent.spread(NUM_PICTURES), folder / "my-photos")
    picture = next((folder / "my-photos").rglob("*.png"))
    (folder / "photo.jpg").write_bytes(picture.read_bytes())
    return folder


@pytest.mark.process
def test_the_tour_runs(sandbox: Path) -> None:
    lines = documented_commands(ROOT / "README.md")
    tour = [line for line in lines if line.removeprefix("semlink ").startswith(ONE_SHOT)]
    assert {prefix for prefix in ONE_SHOT if any(f"semlink {prefix}" in line for line in tour)} == set(ONE_SHOT)
    for line in tour:
        own_engines = ("--engines", "engines") if " engine " in line else ()
        done = run_semlink(*shlex.split(line)[1:], *own_engines, cwd=sandbox)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    # Two ends, as in the README but for their addresses and for a stream that ends.
    listening = ("rx", "--kb", "my-kb", "--listen", "tcp://127.0.0.1:*", "--json")
    with start_semlink(*listening, cwd=sandbox) as receiver:
        (endpoint,) = receiver.read_endpoints()
        sent = run_semlink("tx", "my-photos/", "--limit", 20, "--connect", endpoint, cwd=sandbox)
        assert sent.returncode == 0, sent.stderr
        receiver.send_signal(signal.SIGTERM)
        received = receiver.finish()
    assert received.returncode == 0, received.stderr
    assert '"matches":20' in received.stdout.replace(" ", "")
