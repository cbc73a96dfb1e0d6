"""A dataclass in a command's signature gives the command an option for each field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from semlink.cli.option_groups import with_option_groups
from semlink.config import ConfigFile


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option("--width", min=1)] = 4
    height: Annotated[int, typer.Option("--height", min=1)] = 3


LOW = Size(height=2)

app = typer.Typer()


@app.command()
@with_option_groups
def draw(name: str, size: Size = LOW, config: ConfigFile = None) -> None:
    """Draw a box."""
    print(name, size)


@pytest.mark.parametrize(
    ("arguments", "size"),
    [([], LOW), (["--width", "7"], Size(width=7, height=2)), (["--height", "9", "--width", "1"], Size(1, 9))],
)
def test_options_are_gathered_into_the_group(arguments: list[str], size: Size) -> None:
    result = CliRunner().invoke(app, ["box", *arguments])
    assert result.output == f"box {size}\n"


def test_limits_of_an_option_hold() -> None:
    result = CliRunner().invoke(app, ["box", "--width", "0"])
    assert result.exit_code == 2


def test_config_file_sets_an_option_of_a_group(tmp_path: Path) -> None:
    (tmp_path / "box.toml").write_text("width = 8\n")
    result = CliRunner().invoke(app, ["box", "--config", str(tmp_path / "box.toml"), "--height", "5"])
    assert result.output == f"box {Size(8, 5)}\n"


def test_help_lists_options_in_the_place_of_the_group() -> None:
    lines = CliRunner().invoke(app, ["--help"]).output
    assert lines.index("--width") < lines.index("--height") < lines.index("--config")
    assert "Draw a box." in lines
