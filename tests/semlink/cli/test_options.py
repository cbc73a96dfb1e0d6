"""Every option of every command stands in a panel of the convention, the same option in the same panel everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

pytest.importorskip("faiss", reason="needs semlink[cpu]")
pytest.importorskip("sklearn", reason="needs semlink[demo]")

from semlink.cli.app import app
from semlink.cli.commands import command_names
from semlink.cli.options import ENGINE, LINK, MODELS, OUTPUT, SOURCE

PANELS = {SOURCE, LINK, MODELS, ENGINE, OUTPUT}
WITHOUT_PANEL = {"--help", "--config", "--version", "--install-completion", "--show-completion"}
SHARED = ("--seed", "--num-seeds", "--rate", "--snr-db", "--threads", "--model-set", "--json", "--verbose")
"""Options that several commands have."""


def leaves(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(command, "commands"):
        for name, subcommand in command.commands.items():
            yield from leaves((*path, name), subcommand)
    else:
        yield path, command


def options_of_commands() -> dict[tuple[str, ...], dict[str, str | None]]:
    """Panel of each option by its first name, by the path of its command."""
    root: Any = typer.main.get_command(app)
    context = typer.Context(root, info_name="semlink")
    commands = [((), root)] + [
        leaf for name in command_names() for leaf in leaves((name,), root.get_command(context, name))
    ]
    return {
        path: {param.opts[0]: param.rich_help_panel for param in command.params if param.param_type_name == "option"}
        for path, command in commands
    }


OPTIONS = options_of_commands()


def test_all_commands_are_walked() -> None:
    assert {("tx",), ("kb", "build"), ("engine", "verify"), ("train", "encoder", "import")} <= OPTIONS.keys()


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: " ".join(path) or "semlink")
def test_every_option_is_in_a_panel(path: tuple[str, ...]) -> None:
    astray = {name: panel for name, panel in OPTIONS[path].items() if panel not in PANELS and name not in WITHOUT_PANEL}
    assert not astray
    assert {OPTIONS[path][name] for name in WITHOUT_PANEL & OPTIONS[path].keys()} <= {None}


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_option_is_in_one_panel(name: str) -> None:
    panels = {" ".join(path): options[name] for path, options in OPTIONS.items() if name in options}
    assert len(panels) > 1
    assert len({*panels.values()}) == 1, panels
