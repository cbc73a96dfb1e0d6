"""Command lines of the benchmark modules: help, and no argument that is silently ignored."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest

from benchmarks.cli import run_command
from semlink.errors import ConfigError

MODULES = {
    "run": "benchmarks.run",
    "soak": "benchmarks.soak",
    "side_by_side": "benchmarks.side_by_side",
    "precision": "benchmarks.precision",
    "int8_processors": "benchmarks.int8_processors",
    "quantization": "benchmarks.quantization",
    "accuracy": "benchmarks.accuracy",
    "paper": "benchmarks.paper",
    "studies": "benchmarks.studies.__main__",
    "gpu": "benchmarks.gpu.__main__",
}


@pytest.fixture(params=MODULES.values(), ids=[*MODULES])
def command(request: pytest.FixtureRequest) -> Callable[..., None]:
    for package in ("torch", "faiss", "sklearn"):
        pytest.importorskip(package, reason="needs semlink[train]")
    main: Callable[..., None] = importlib.import_module(request.param).main
    return main


def exit_code(command: Callable[..., None], *arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        run_command(command, "benchmarks.name", arguments)
    return ended.value.code


def test_help(command: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(command, "--help") == 0
    assert "python -m benchmarks.name" in capsys.readouterr().out


def test_an_unknown_option_is_refused(command: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(command, "--no-such-option") == 2
    assert "--no-such-option" in capsys.readouterr().err


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ConfigError("a fault\nand its fix")

    assert exit_code(fail) == ConfigError.exit_code
    assert capsys.readouterr().err == "error: a fault and its fix\n"


@pytest.mark.parametrize("name", ["benchmarks.accuracy", "benchmarks.studies.__main__"])
def test_an_unknown_name_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="needs semlink[train]")
    pytest.importorskip("faiss", reason="needs semlink[cpu]")
    assert exit_code(importlib.import_module(name).main, "no-such-study") == 2
    assert "no-such-study; choose from" in capsys.readouterr().err
