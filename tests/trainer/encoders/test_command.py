"""`semlink train encoder`: what it writes, and the report that chooses a head."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from engines.models.manifest import Manifest
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, ModelSetError
from semlink.files import file_sha256
from trainer import model_set_writer as modelset_writer
from trainer.datasets import ImageList
from trainer.encoders import builtin, head_report, registry
from trainer.encoders.command import app
from trainer.encoders.export import EncoderNetwork, write_encoder_model_set
from trainer.encoders.head_report import HeadScores, best_head
from trainer.model_set_writer import write_manifest

NUM_CLASSES, POOLED_DIM = 100, 24


class CornerPixels(nn.Module):
    """Features are the picture's four by four corner."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels[:, :, :4, :4].flatten(1)


def scores_of(head: str, mean: float, gain_low: float) -> HeadScores:
    return HeadScores(head, [mean], mean, mean, mean, gain_low, gain_low, gain_low, 0.0)


def test_export_writes_a_measured_model_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = EncoderNetwork("toy", CornerPixels(), 48, 8, (127.0,) * 3, (128.0,) * 3, "none", "none")
    monkeypatch.setattr(registry, "build_encoder", lambda name, **options: toy)
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "cache"))
    result = CliRunner().invoke(app, ["export", "toy", "--out", str(tmp_path / "set"), "--threads", "1"])
    assert result.exit_code == 0, result.output
    entry = ModelSet(tmp_path / "set").manifest.encoder
    assert entry.name == "toy"
    assert 0.1 < entry.measured["digits_1nn_accuracy"] <= 1
    assert "digits_1nn_accuracy" in result.output


def test_a_full_disk_leaves_the_set_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (
        EncoderNetwork(name, CornerPixels(), 48, 8, (mean,) * 3, (128.0,) * 3, "none", "none")
        for name, mean in (("first", 127.0), ("second", 0.0))
    )
    write_encoder_model_set(tmp_path, first)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def fill(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(ModelSetError, match=r"encoder\.onnx: cannot be written: No space left on device; make room"):
        write_encoder_model_set(tmp_path, second)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_manifest_never_vouches_for_a_graph_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = EncoderNetwork("toy", CornerPixels(), 48, 8, (127.0,) * 3, (128.0,) * 3, "none", "none")

    def check_then_write(folder: Path, manifest: Manifest) -> None:
        assert file_sha256(folder / manifest.encoder.graph.file) == manifest.encoder.graph.sha256
        write_manifest(folder, manifest)

    monkeypatch.setattr(modelset_writer, "write_manifest", check_then_write)
    assert write_encoder_model_set(tmp_path, toy).encoder_path == tmp_path / "encoder.onnx"


def test_export_of_an_unknown_encoder_writes_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", "nothing", "--out", str(tmp_path / "set")])
    assert isinstance(result.exception, ConfigError)
    assert not (tmp_path / "set").exists()


def test_report_head_compares_every_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(NUM_CLASSES, POOLED_DIM))

    def make_list(name: str, per_class: int) -> ImageList:
        labels = [f"class{number:02}" for number in range(NUM_CLASSES) for _ in range(per_class)]
        names = [f"{name}-{index}" for index in range(len(labels))]
        return ImageList(tuple(names), tuple(labels), lambda index: np.zeros((1, 1, 3), np.uint8), name)

    def pooled_of(images: ImageList, **options: object) -> np.ndarray:
        numbers = builtin.class_numbers(images)
        return (means[numbers] + 0.7 * rng.normal(size=(len(images), POOLED_DIM))).astype(np.float32)

    monkeypatch.setattr(head_report, "find_or_fetch", lambda folder, progress: folder)
    monkeypatch.setattr(
        head_report, "open_split", lambda folder, split: make_list(split, 30 if split == "train" else 6)
    )
    monkeypatch.setattr(head_report, "pooled_features", pooled_of)
    monkeypatch.setattr(head_report, "FEATURE_DIM", 12)
    out = tmp_path / "results" / "head.json"
    result = CliRunner().invoke(app, ["report-head", "--json", str(out), "--seeds", "3", "--threads", "1"])
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    assert report["seeds"] == [0, 1, 2]
    assert report["best"] in [scores["head"] for scores in report["heads"]]
    assert {"numpy", "torch"} <= set(report["versions"])
    for scores in report["heads"]:
        assert scores["low"] <= scores["mean"] <= scores["high"]
        assert scores["mean"] == pytest.approx(np.mean(scores["held_out_accuracy"]))
        assert scores["mean"] > 0.2


def test_a_head_must_surely_beat_pca() -> None:
    pca = scores_of("pca", 0.7, 0.0)
    assert best_head([pca, scores_of("lucky", 0.9, -0.01)]) == "pca"
    assert best_head([pca, scores_of("sure", 0.72, 0.01), scores_of("surer", 0.71, 0.02)]) == "sure"
