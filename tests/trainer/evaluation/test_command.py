"""`semlink evaluate`: options become settings, and the report goes where it is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("scipy", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from semlink.constellation import Constellation
from semlink.errors import ConfigError, ResultsError
from tests.support.processes import run_without_torch
from tests.support.reports import record, report_of
from trainer.codecs.table import BUILTIN_CODECS
from trainer.evaluation import EvaluationConfig, EvaluationReport, run
from trainer.evaluation.command import app


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[EvaluationConfig]:
    """Settings with which the command evaluates; the report is made up."""
    asked: list[EvaluationConfig] = []

    def evaluate(config: EvaluationConfig, *, deliver: Any, **_: Any) -> EvaluationReport:
        config.grid()
        asked.append(config)
        report = report_of(record(0, 0.4), record(1, 0.5))
        deliver(report)
        return report

    monkeypatch.setattr(run, "evaluate", evaluate)
    return asked


def invoke(*arguments: object) -> str:
    """Standard output of the command."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_options_become_settings(settings: list[EvaluationConfig], tmp_path: Path) -> None:
    grid = ("--codec", "nested,kbsc", "--rate", "1/48,16", "--snr-db=-7,0", "--channel", "awgn,rayleigh")
    link = ("--pilots", 4, "--csi", "genie", "--constellation", "qpsk")
    models = ("--weights", "trained", "--model-set", "mine", "--train-channel", "awgn", "--epochs", 3)
    data = ("--data", "photos", "--train-data", "cifar100", "--limit", 10, "--num-seeds", 2)
    invoke(*grid, *link, *models, *data, "--precision", "fp32", "--jobs", 3, "--runs-dir", tmp_path)
    assert settings == [
        EvaluationConfig(
            data="photos",
            codecs=("nested", "kbsc"),
            rates=("1/48", "16"),
            snr_db=(-7.0, 0.0),
            channels=("awgn", "rayleigh"),
            num_seeds=2,
            limit=10,
            train_data="cifar100",
            training_channel="awgn",
            weights="trained",
            model_set="mine",
            num_pilots=4,
            csi="genie",
            constellation=Constellation.QPSK,
            epochs=3,
            precision="fp32",
            num_jobs=3,
            runs_dir=tmp_path,
        )
    ]


@pytest.mark.usefixtures("settings")
def test_table_is_printed_by_default() -> None:
    assert "0.450" in invoke()


@pytest.mark.usefixtures("settings")
def test_json_is_printed_on_standard_output() -> None:
    assert len(json.loads(invoke("--json"))["records"]) == 2


@pytest.mark.usefixtures("settings")
def test_report_and_plot_are_written_and_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announced: list[Path] = []
    monkeypatch.setattr("trainer.evaluation.command.notify_of_files", lambda *paths: announced.extend(paths))
    out, plot = tmp_path / "folder" / "out.json", tmp_path / "plot.svg"
    invoke("--out", out)
    assert announced == [out, out.with_suffix(".png")]
    assert len(json.loads(out.read_text())["records"]) == 2
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    invoke("--plot", plot)
    assert "<svg" in plot.read_text()
    assert announced[2:] == [plot]


def test_report_that_cannot_be_written_is_refused_first(settings: list[EvaluationConfig], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError):
        invoke("--out", tmp_path / "file" / "out.json")
    with pytest.raises(ResultsError):
        invoke("--plot", tmp_path / "file" / "plot.png")
    with pytest.raises(ConfigError, match="a plot is a file of one of the kinds"):
        invoke("--plot", tmp_path / "plot.txt")
    assert settings == []


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--codec", "morse"), 'codec "morse" is unknown'),
        (("--channel", "ether"), 'channel "ether" is unknown'),
        (("--rate", "17"), 'rate "17" is unknown'),
        (("--rate", ","), "--rate names nothing"),
        (("--snr-db", "loud"), "--snr-db takes numbers"),
    ],
)
def test_wrong_value_is_named(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        invoke(*arguments)


def test_interrupt_says_that_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "evaluate", interrupted)
    result = CliRunner().invoke(app, [])
    assert result.exit_code != 0
    assert "the same command continues" in result.stderr


def test_help_names_every_codec_and_choice() -> None:
    help_text = " ".join(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output.replace("│", " ").split())
    for codec in BUILTIN_CODECS:
        assert codec.name in help_text
    for choices in ("pilots|genie|none", "auto|trained|model-set", "bf16|fp32", "awgn|rayleigh"):
        assert choices in help_text
    assert "Largest number of images to send; knowledge base and training images are always used whole." in help_text
    for panel in ("Source", "Link", "Models", "Engine", "Output"):
        assert f"─ {panel} ─" in help_text


@pytest.mark.process
def test_codecs_of_a_model_set_are_evaluated_where_torch_is_blocked(tmp_path: Path) -> None:
    script = "from semlink.cli.app import main; main()"
    grid = ("--codec", "adapted,nested,kbsc", "--rate", "64", "--snr-db", "10", "--num-seeds", "1", "--limit", "20")
    out = tmp_path / "report.json"
    done = run_without_torch(script, "evaluate", "--data", "digits", "--weights", "model-set", *grid, "--out", out)
    assert done.returncode == 0, done.stderr
    assert {each["codec"] for each in json.loads(out.read_text())["records"]} == {"adapted", "nested", "kbsc"}
