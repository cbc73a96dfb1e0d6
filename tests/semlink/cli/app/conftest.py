"""`semlink` with commands of a package beside it."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.support.processes import Run, run_semlink

# A package beside semlink with commands of its own, as an extension would have them.
COMMANDS = '''
import logging, signal
import typer
from semlink.errors import ConfigError, TransportError, MissingDependencyError

fails = typer.Typer()
waits = typer.Typer()
group = typer.Typer(no_args_is_help=True)
needs = typer.Typer()

@fails.command()
def fail(kind: str = "config", count: int = 1) -> None:
    """Raise an error of the family."""
    if kind == "config":
        raise ConfigError("count must be\\n   at least 1, got 0 [bold]")
    if kind == "transport":
        raise TransportError("nobody there")
    if kind == "missing":
        raise MissingDependencyError.of("torch", extra="train", purpose="training")
    if kind == "broken-pipe":
        raise BrokenPipeError(0, "not EPIPE")
    if kind == "exit":
        raise typer.Exit(9)
    if kind == "bug":
        raise ZeroDivisionError("a bug")
    print("fine")

@waits.command()
def wait() -> None:
    """Wait for a signal."""
    try:
        print("ready", flush=True)
        signal.pause()
    finally:
        print("cleaned up", flush=True)

@needs.command()
def need(rate: str = typer.Option()) -> None:
    """Has an option that must be given."""

@group.command()
def one() -> None:
    """The first."""
    logging.getLogger("engines").info("chose")
    logging.getLogger("foreign").info("chatter")
    logging.getLogger("semlink").warning("first\\nsecond [bold]")
    print("one")

@group.command()
def two() -> None:
    """The second."""
'''
ENTRY_POINTS = """
[semlink.commands]
fails = fake_commands:fails
waits = fake_commands:waits
group = fake_commands:group
needs = fake_commands:needs
absent = fake_commands_not_there:app
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables with which a distribution with the commands above is installed."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "fake_commands.py").write_text(COMMANDS)
    metadata = folder / "fake_commands-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-commands\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return {"PYTHONPATH": str(folder), "COLUMNS": "200", "TERM": "dumb"}


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    return functools.partial(run_semlink, environment=environment, cwd=tmp_path)
