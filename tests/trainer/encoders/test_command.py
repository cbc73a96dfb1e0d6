"""`semlink train encoder`: what its commands write and print; an imported graph serves every stage of the link."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from rich.progress import Progress
from typer.testing import CliRunner

from edge_rx import Receiver
from edge_rx.kb.build import build_knowledge_base, labelled_folder
from edge_tx import Transmitter
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError
from semlink.rates import parse_rate
from semlink.report import provenance
from tests.support.encoders import SIZE_PX, toy_encoder, write_image_graph
from trainer.encoders import head_report
from trainer.encoders.command import app
from trainer.encoders.head_report import HeadReport
from trainer.model_set_training import ModelSetConfig, train_model_set

RATES = (parse_rate("64"),)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_export_writes_a_measured_model_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.encoders.command.load_encoder", lambda name, **options: toy_encoder())
    printed = run("export", "toy", "--out", tmp_path / "set", "--threads", "1", "--json")
    entry = ModelSet(tmp_path / "set").manifest.encoder
    assert entry.name == "toy"
    assert 0.1 < entry.measured["digits_1nn_accuracy"] <= 1
    assert json.loads(printed)["measured"] == entry.measured


def test_export_of_an_unknown_encoder_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='encoder "nothing" is unknown'):
        run("export", "nothing", "--out", tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_an_imported_graph_serves_the_whole_link(pictures_to_learn: Path, picture_folder: Path, tmp_path: Path) -> None:
    """Model set, knowledge base, codec, and a picture from the transmitter to its match."""
    graph, folder = write_image_graph(tmp_path / "mine.onnx", batch=1), tmp_path / "mine"
    channels = ("--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")
    options = ("--licence", "MIT", "--measure", pictures_to_learn, "--out", folder, "--json")
    printed = run("import", graph, *channels, *options)
    entry = json.loads(printed)
    assert (entry["name"], entry["licence"], entry["preprocessing"]["size_px"]) == ("mine", "MIT", SIZE_PX)
    with Progress(disable=True) as progress:
        config = ModelSetConfig(
            out=folder, model_set=str(folder), data=str(pictures_to_learn), rates=RATES, runs_dir=tmp_path / "runs"
        )
        models = train_model_set(config, progress=progress)
    assert [codec.name for codec in models.codecs] == ["nested"]
    images = labelled_folder(picture_folder)
    build_knowledge_base(images, tmp_path / "kb", ImageEncoder(models), codecs=models.codecs)
    transmitter = Transmitter.open(str(folder), rate=RATES[0].name)
    with Receiver.open(tmp_path / "kb", model_set=str(folder)) as receiver:
        paths = sorted(picture_folder.rglob("*.png"))
        matches = [receiver.run_once(transmitter.encode(path)) for path in paths]
    sources = [match.source for match in matches if match is not None]
    assert sources == [path.relative_to(picture_folder).as_posix() for path in paths]


@pytest.mark.parametrize("values", ["0.5,0.5", "127,127,127", "0.5,0.5,-0.5"])
def test_channel_statistics_are_three_on_the_scale_of_one(tmp_path: Path, values: str) -> None:
    graph = write_image_graph(tmp_path / "mine.onnx")
    channels = (f"--mean={values}", "--std", "0.5,0.5,0.5")
    with pytest.raises(ConfigError, match=r"--mean takes red,green,blue on the scale 0\.\.1"):
        run("import", graph, *channels, "--licence", "MIT", "--out", tmp_path / "set")


def test_a_missing_licence_is_a_usage_error(tmp_path: Path) -> None:
    graph = write_image_graph(tmp_path / "mine.onnx", dtype="uint8")
    result = CliRunner().invoke(app, ["import", str(graph), "--out", str(tmp_path / "set")])
    assert result.exit_code == 2
    assert not (tmp_path / "set").exists()


def test_report_head_writes_and_prints_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def report_heads(*, seeds: range, command: str, **options: object) -> HeadReport:
        settings = {"seeds": list(seeds)}
        return HeadReport(**provenance(command), settings=settings, protocol="", heads=[], best="pca", shipped="pca")

    monkeypatch.setattr(head_report, "report_heads", report_heads)
    out = tmp_path / "results" / "head.json"
    printed = run("report-head", "--out", out, "--num-seeds", "3", "--json")
    assert json.loads(printed) == json.loads(out.read_text())
    assert json.loads(printed)["settings"]["seeds"] == [0, 1, 2]
    assert "head" in run("report-head", "--num-seeds", "2")
