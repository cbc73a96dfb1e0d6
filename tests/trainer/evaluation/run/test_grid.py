"""A whole evaluation: refused before the encoder is loaded, or measured from a folder to a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from PIL import Image

from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, DatasetError
from tests.support.evaluation import SYNTHETIC
from tests.support.model_sets import make_model_set
from trainer.evaluation import EvaluationReport

Evaluated = Callable[..., EvaluationReport]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"codecs": ["nested", SYNTHETIC], "rates": [16, 64]}, "has synthetic-codec at 64 symbols, not at 16"),
        ({"codecs": ["nested", "kbsc"], "rates": [64]}, "not kbsc; use --weights trained"),
        ({"codecs": ["nested", "deepjscc"], "rates": [16, 64], "weights": "trained"}, "at least 32 symbols, got 16"),
        ({"codecs": ["nested", "uncoded"], "rates": [64]}, "8 symbols, not 64"),
        ({"codecs": ["index-polar"], "rates": [64]}, "2,049 entries or more"),
    ],
)
@pytest.mark.parametrize("weights", ["model-set", "auto"])
def test_cell_that_cannot_run_is_refused_before_the_encoder_is_loaded(
    evaluated: Evaluated, no_encoder: ModelSet, settings: dict[str, Any], words: str, weights: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        evaluated(model_set=str(no_encoder.folder), **{"weights": weights, **settings})


def test_dataset_without_a_training_set_is_refused_before_the_encoder_is_loaded(
    evaluated: Evaluated, no_encoder: ModelSet
) -> None:
    with pytest.raises(DatasetError, match="has no training images"):
        evaluated(model_set=str(no_encoder.folder), data="digits", codecs=["nested"])
    # What is not refused gets as far as the encoder.
    with pytest.raises(Exception, match=r"encoder\.onnx"):
        evaluated(model_set=str(no_encoder.folder), data="digits", codecs=["index"])


def test_every_codec_of_signals_runs_from_a_folder_to_a_report(evaluated: Evaluated, model_set: ModelSet) -> None:
    codecs = ["nested", "index", "nested-labels", "index-labels", "label", "vq-residual", "vq-product"]
    settings = {"codecs": codecs, "channels": ["awgn", "rayleigh"], "model_set": str(model_set.folder)}
    report = evaluated(**settings)
    assert list(dict.fromkeys(record.codec for record in report.records)) == codecs
    assert len(report.records) == 7 * 2 * 2
    high_snr = {r.codec: r.semantic_accuracy for r in report.records if (r.channel, r.snr_db) == ("awgn", 20.0)}
    assert high_snr["index"] == pytest.approx(report.noiseless_accuracy, abs=0.05)
    assert min(high_snr.values()) > 0.45
    assert evaluated(num_jobs=3, **settings).records == report.records


@pytest.mark.process
def test_kbsc_is_trained_for_the_channels_of_the_grid(evaluated: Evaluated, model_set: ModelSet) -> None:
    report = evaluated(
        codecs=["kbsc", "kbsc-reference"], channels=["awgn", "rayleigh"], model_set=str(model_set.folder), num_jobs=2
    )
    found = {(r.codec, r.channel): (r.csi, r.trained_on.rsplit(", ", 1)[1]) for r in report.records}
    assert found == {
        ("kbsc", "awgn"): ("none", "awgn"),
        ("kbsc", "rayleigh"): ("pilots", "rayleigh"),
        ("kbsc-reference", "awgn"): ("published", "awgn"),
        ("kbsc-reference", "rayleigh"): ("published", "rayleigh"),
    }


def test_model_set_serves_every_codec_that_its_models_suit(evaluated: Evaluated, tmp_path: Path) -> None:
    models = make_model_set(tmp_path / "set", rates=(16,), nested=True, categories=("class0", "class1"))
    codecs = [SYNTHETIC, "nested", "nested-feedback", "nested-labels", "index-labels", "index"]
    report = evaluated(codecs=codecs, weights="model-set", model_set=str(models.folder))
    assert len({record.codec for record in report.records}) == 6
    trained_on = {record.codec: record.trained_on for record in report.records}
    assert trained_on.pop("index") == "nothing"
    assert set(trained_on.values()) == {"none: random numbers"}


def test_references_run_from_a_folder_to_a_report(evaluated: Evaluated, model_set: ModelSet, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs semlink[references]")
    pytest.importorskip("sionna", reason="needs semlink[references]")
    from tests.support.pictures import smooth_pictures

    for split, num_images in (("train", 200), ("test", 60)):
        for index, (picture, kind) in enumerate(zip(*smooth_pictures(num_images, num_images), strict=True)):
            path = tmp_path / "pictures" / split / kind / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    settings = {"data": str(tmp_path / "pictures"), "rates": [64], "snr_db": [-20.0, 20.0]}
    report = evaluated(codecs=["bpg-ldpc", "deepjscc"], model_set=str(model_set.folder), **settings)
    accuracy = {(record.codec, record.snr_db): record.semantic_accuracy for record in report.records}
    assert len(accuracy) == 4
    assert accuracy["bpg-ldpc", -20.0] == 0.0
    modes = {r.snr_db: r.trained_on.split(", chosen on ")[0] for r in report.records if r.codec == "bpg-ldpc"}
    assert modes[-20.0] == "no mode"
    assert modes[20.0].split()[0] in ("QPSK", "16-QAM", "64-QAM")
    assert accuracy["bpg-ldpc", 20.0] > 0.5
    assert accuracy["deepjscc", 20.0] > accuracy["deepjscc", -20.0]
