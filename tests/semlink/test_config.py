"""TOML files as a command's defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from semlink.channel import ChannelModel
from semlink.cli import renamed
from semlink.config import ConfigFile, parse_numbers, split_list
from semlink.errors import ConfigError

app = typer.Typer(add_completion=False)


@app.command()
def link(
    source: Annotated[str, typer.Argument()] = "here",
    snr_db: Annotated[str, typer.Option()] = "0",
    count: Annotated[int, typer.Option(min=1)] = 1,
    fps: Annotated[float | None, typer.Option()] = None,
    model: Annotated[ChannelModel, typer.Option()] = ChannelModel.AWGN,
    until_end: Annotated[bool, typer.Option("--until-end")] = False,
    log: Annotated[bool, typer.Option("--log/--no-log")] = True,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    tag: Annotated[list[str] | None, typer.Option()] = None,
    config: ConfigFile = None,
) -> None:
    """Print the options as they were understood."""
    values = dict(locals())
    values["model"], values["config"] = model.value, str(config)
    typer.echo(json.dumps(values))


@app.command()
def strict(rate: Annotated[str, typer.Option()], config: ConfigFile = None) -> None:
    """A command with an option that must be given."""
    typer.echo(json.dumps({"rate": rate}))


def run(tmp_path: Path, toml: str, *arguments: str, command: str = "link") -> dict[str, object]:
    path = tmp_path / "link.toml"
    path.write_text(toml, encoding="utf-8")
    result = CliRunner().invoke(app, [command, *arguments, "--config", str(path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    values: dict[str, object] = json.loads(result.stdout)
    return values


def refused(tmp_path: Path, toml: str) -> str:
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, toml)
    return str(caught.value)


def test_no_file_no_change() -> None:
    result = CliRunner().invoke(app, ["link"])
    assert json.loads(result.stdout)["count"] == 1


def test_values_become_defaults(tmp_path: Path) -> None:
    values = run(
        tmp_path,
        'snr-db = "-7,0"\ncount = 20\nfps = 2\nmodel = "rayleigh-fast"\n'
        'until-end = true\njson = true\ntag = ["a", "b"]\n',
    )
    assert values["snr_db"] == "-7,0"
    assert values["count"] == 20
    assert values["fps"] == 2.0
    assert values["model"] == "rayleigh-fast"
    assert values["until_end"] is True
    assert values["as_json"] is True
    assert values["tag"] == ["a", "b"]


def test_array_is_a_comma_separated_option(tmp_path: Path) -> None:
    assert run(tmp_path, "snr-db = [-7, 0, 10]")["snr_db"] == "-7,0,10"


def test_option_on_the_command_line_wins_wherever_it_stands(tmp_path: Path) -> None:
    assert run(tmp_path, "count = 20", "--count", "3")["count"] == 3
    path = tmp_path / "link.toml"
    result = CliRunner().invoke(app, ["link", "--config", str(path), "--count", "4"])
    assert json.loads(result.stdout)["count"] == 4


def test_file_satisfies_a_required_option(tmp_path: Path) -> None:
    assert run(tmp_path, 'rate = "1/48"', command="strict") == {"rate": "1/48"}


@pytest.mark.parametrize(
    ("toml", "log"), [("log = false", False), ("log = true", True), ("no-log = true", False), ("no-log = false", True)]
)
def test_both_names_of_a_switch(tmp_path: Path, toml: str, log: bool) -> None:
    assert run(tmp_path, toml)["log"] is log


def test_unknown_key_is_named_with_the_known(tmp_path: Path) -> None:
    message = refused(tmp_path, "colour = 3")
    assert '"colour" is not an option of "link"; it takes: count, fps, ' in message


@pytest.mark.parametrize("key", ["snr_db", "snr-bd"])
def test_mistyped_key_is_named_with_the_one_that_is_meant(tmp_path: Path, key: str) -> None:
    assert refused(tmp_path, f"{key} = 3").endswith(f'"{key}" is not an option of "link"; did you mean \'snr-db\'?')


def test_former_name_of_an_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(renamed, "RENAMED_OPTIONS", {("root", "link"): {"--number": "--count"}})
    assert run(tmp_path, "number = 20")["count"] == 20
    assert '"number" is the former name of "count", which the file has too' in refused(
        tmp_path, "number = 1\ncount = 2"
    )


@pytest.mark.parametrize("key", ["config", "help", "source"])
def test_keys_that_are_no_options(tmp_path: Path, key: str) -> None:
    assert f'"{key}" is not an option' in refused(tmp_path, f'{key} = "x"')


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("until-end = 1", '"until-end" takes true or false, got 1'),
        ('json = "yes"', "\"json\" takes true or false, got 'yes'"),
        ("count = true", '"count" takes a value, not true or false'),
        ("[count]\nx = 1", '"count" is a table'),
        ("count = = 3", "not TOML"),
        ("count 3", "not TOML"),
    ],
)
def test_what_cannot_be_a_value(tmp_path: Path, toml: str, words: str) -> None:
    message = refused(tmp_path, toml)
    assert words in message
    assert str(tmp_path / "link.toml") in message


def test_value_of_another_type_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "link.toml"
    path.write_text('count = "many"')
    result = CliRunner().invoke(app, ["link", "--config", str(path)])
    assert result.exit_code == 2
    assert "--count" in result.output


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "link.toml"
    path.write_bytes(b'tag = "\xff"')
    with pytest.raises(ConfigError, match="not TOML"):
        CliRunner().invoke(app, ["link", "--config", str(path)], catch_exceptions=False)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: No such file or directory"):
        CliRunner().invoke(app, ["link", "--config", str(tmp_path / "gone.toml")], catch_exceptions=False)


def test_lists() -> None:
    assert split_list(" a, b,,c ", "--codec") == ("a", "b", "c")
    assert parse_numbers("-7, 0 ,1e1", "--snr-db") == (-7.0, 0.0, 10.0)


@pytest.mark.parametrize("text", ["", " , ", ",,"])
def test_empty_lists(text: str) -> None:
    with pytest.raises(ConfigError, match="--codec names nothing"):
        split_list(text, "--codec")


@pytest.mark.parametrize("text", ["a", "1,b", "nan", "1,inf", "1;2"])
def test_lists_of_no_numbers(text: str) -> None:
    with pytest.raises(ConfigError, match="--snr-db takes numbers separated by commas"):
        parse_numbers(text, "--snr-db")
