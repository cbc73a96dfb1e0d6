"""`semlink bench show` and `semlink bench compare`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.report.command import app
from semlink.errors import ConfigError
from semlink.report import write_report
from tests.support.bench_reports import latency_report, stage


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    new, old = tmp_path / "new.json", tmp_path / "old.json"
    write_report(latency_report(stages=[stage(2.0, 2.01)]), new)
    write_report(latency_report(stages=[stage(1.0, 1.01)]), old)
    return new, old


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_shows_markdown(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # text on standard output needs no chart
    text = run("show", *files)
    assert text.startswith("# Reports\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## new.json, 2026-11-21",
        "## old.json, 2026-11-21",
    ]


def test_shows_the_floor_on_a_page(files: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs semlink[demo]")
    write_report(latency_report(stages=[stage(2.0, 2.01, bytes_moved=2e6)]), files[0])
    assert run("show", files[0], "--peak-gb-s", "10", "--out", tmp_path / "report.md") == ""
    text = (tmp_path / "report.md").read_text()
    assert "| search | 100 | 2.000 | 2.010 | 2.010 | 0.200 | 10 % |" in text
    assert "<svg" in (tmp_path / "report-1.svg").read_text()


def test_compares(files: tuple[Path, Path]) -> None:
    text = run("compare", *files)
    assert "**Slower: search by 100 %. No change beyond noise: 0 of 1 stages.**" in text
    assert "No change beyond noise: 1 of 1" in run("compare", *files, "--least-change", "150")


def test_reads_a_pipe(files: tuple[Path, Path]) -> None:
    """As the shell's <(...) gives one: it can be read only once."""
    reader, writer = os.pipe()
    os.write(writer, files[1].read_bytes())
    os.close(writer)
    try:
        assert "**Slower: search by 100 %." in run("compare", files[0], f"/dev/fd/{reader}")
    finally:
        os.close(reader)


def test_compares_in_json(files: tuple[Path, Path]) -> None:
    result = json.loads(run("compare", *files, "--json"))
    assert result["changes"] == [
        {"name": "search", "older_p50_ms": 1.0, "newer_p50_ms": 2.0, "change": 1.0, "verdict": "slower"}
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "cut.json"],
        ["show", "new.json", "--out", "x.pdf"],
        ["show", "new.json", "--peak-gb-s=0"],
        ["compare", "new.json", "cut.json"],
    ],
)
def test_faults_are_errors_of_the_family(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    (tmp_path / "cut.json").write_text('{"kind"')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        run(*arguments)
