"""A whole evaluation: refused early or measured, continued after an interrupt, open to codecs of other packages."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from PIL import Image
from rich.console import Console
from rich.progress import Progress

from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, DatasetError
from semlink.image import Preprocessing
from semlink.rates import Rate
from tests.support.codec_packages import install_codec_package
from tests.support.encoders import write_image_graph
from tests.support.evaluation import SYNTHETIC
from tests.support.model_sets import make_model_set
from trainer.codecs.spec import CodecSpec
from trainer.encoders.callable_encoder import CallableEncoder
from trainer.evaluation import EvaluationConfig, EvaluationReport, evaluate, measure
from trainer.evaluation.record import Record
from trainer.links.base import Link, LinkInputs, MakeLink
from trainer.links.conditions import LinkConditions
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_retrieval

Evaluated = Callable[..., EvaluationReport]


@pytest.fixture
def no_encoder(tmp_path: Path) -> ModelSet:
    """A model set whose encoder's file is missing, so that loading it is an error: kbsc and nested at 64 symbols."""
    models = make_model_set(tmp_path / "set", rates=(64,), nested=True, categories=("a", "b"))
    (models.folder / "encoder.onnx").unlink()
    return models


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


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

    for split, num_images in (("train", 400), ("test", 80)):
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


def test_interrupted_evaluation_continues_with_identical_results(
    evaluated: Evaluated, model_set: ModelSet, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"codecs": ["nested", "index"], "num_seeds": 2, "model_set": str(model_set.folder)}
    whole = evaluated(**settings)
    journals = own_cache / "evaluations"
    assert list(journals.iterdir()) == [], "a finished evaluation leaves no journal"
    num_measured = 0
    measure_cell = measure.measure_cell

    def measure_some(*arguments: Any, **options: Any) -> Record:
        nonlocal num_measured
        if num_measured == 3:
            raise KeyboardInterrupt
        num_measured += 1
        return measure_cell(*arguments, **options)

    monkeypatch.setattr(measure, "measure_cell", measure_some)
    with pytest.raises(KeyboardInterrupt):
        evaluated(**settings)
    (journal,) = journals.iterdir()
    with journal.open("ab") as file:
        file.write(b'{"codec":"nes')  # as if the process was killed while it wrote a line
    num_measured = -100
    resumed = evaluated(**settings)
    assert num_measured == -100 + len(whole.records) - 3
    assert resumed.records == whole.records
    assert list(journals.iterdir()) == []


def interrupt(report: EvaluationReport) -> None:
    raise KeyboardInterrupt


def messages_of(evaluated: Evaluated, **settings: Any) -> str:
    stream = io.StringIO()
    evaluated(progress=Progress(console=Console(file=stream, width=200), disable=True), **settings)
    return stream.getvalue()


def test_changed_training_images_are_measured_again(
    evaluated: Evaluated, model_set: ModelSet, pictures_to_learn: Path, own_cache: Path, tmp_path: Path
) -> None:
    """The same command after an interrupt, on a folder with other training images: no record is reused."""
    folder = Path(shutil.copytree(pictures_to_learn, tmp_path / "pictures"))
    settings = {"codecs": ["nested"], "data": str(folder), "model_set": str(model_set.folder)}
    with pytest.raises(KeyboardInterrupt):
        evaluated(deliver=interrupt, **settings)
    (journal,) = (own_cache / "evaluations").iterdir()
    assert len(journal.read_bytes().splitlines()) == 2
    kept = journal.read_bytes()
    assert "continuing" in messages_of(evaluated, **settings)
    journal.write_bytes(kept)
    next((folder / "train").rglob("*.png")).unlink()
    assert "continuing" not in messages_of(evaluated, **settings)


def test_report_that_cannot_be_stored_costs_no_measurement(
    evaluated: Evaluated, model_set: ModelSet, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"codecs": ["index"], "model_set": str(model_set.folder)}
    with pytest.raises(KeyboardInterrupt):
        evaluated(deliver=interrupt, **settings)
    monkeypatch.setattr(measure, "measure_cell", lambda *_, **__: pytest.fail("measured again"))
    assert len(evaluated(**settings).records) == 2


@dataclass(frozen=True)
class SignLink(Link):
    """A user's own link: the signs of the features, two to a symbol, over a channel without noise."""

    rate: Rate

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        return score_retrieval(np.sign(noiseless.features).astype(np.float32), noiseless)


def sign_links(inputs: LinkInputs) -> MakeLink:
    return lambda _model, rate, _seed: SignLink(rate)


SIGNS = CodecSpec(name="signs", summary="signs of the features", links=sign_links)


def test_codec_of_your_own_is_evaluated(evaluated: Evaluated, model_set: ModelSet) -> None:
    report = evaluated(codecs=["index", SIGNS], model_set=str(model_set.folder))
    assert {record.codec for record in report.records} == {"index", "signs"}
    assert all(record.semantic_accuracy > 0.3 for record in report.records if record.codec == "signs")


def test_fit_without_a_model_for_every_key_is_named(evaluated: Evaluated, model_set: ModelSet) -> None:
    def fit_nothing(keys: Any, context: Any) -> dict[Any, Any]:
        return {}

    spec = CodecSpec(name="empty", summary="", links=sign_links, fit=fit_nothing)
    with pytest.raises(ConfigError, match="codec empty: its fit returned no model for FitKey"):
        evaluated(codecs=[spec], model_set=str(model_set.folder))


def test_codec_of_an_installed_package_is_evaluated_by_name(
    evaluated: Evaluated, model_set: ModelSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "from trainer.codecs.spec import CodecSpec\n"
        'SPEC = CodecSpec(name="theirs", summary="", links="trainer.links.graph_link:uncoded_links")\n'
    )
    install_codec_package(tmp_path / "site", monkeypatch, source, theirs="SPEC")
    report = evaluated(codecs=["theirs"], rates=[8], model_set=str(model_set.folder))
    assert {record.codec for record in report.records} == {"theirs"}


CORNERS = CallableEncoder(
    name="corners",
    function=lambda images: images[:, ::3, ::3].reshape(len(images), -1) - 100.0,
    feature_dim=27,
    preprocessing=Preprocessing(8),
    version="1",
)


def test_encoder_of_your_own_is_evaluated(evaluated: Evaluated) -> None:
    report = evaluated(codecs=["nested", "index"], encoder=CORNERS, weights="auto")
    assert (report.encoder, report.encoder_fingerprint, report.weights) == ("corners", CORNERS.fingerprint, "trained")
    assert report.settings["encoder"] == "corners"
    high_snr = {record.codec: record.semantic_accuracy for record in report.records if record.snr_db == 20.0}
    assert high_snr["index"] == pytest.approx(report.noiseless_accuracy, abs=0.05)


def test_encoder_of_an_installed_package_is_evaluated_by_name(
    evaluated: Evaluated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = write_image_graph(tmp_path / "graph.onnx", dtype="uint8")
    source = (
        "from pathlib import Path\n"
        "from trainer.encoders.onnx_encoder import OnnxEncoder\n"
        f"ENCODER = OnnxEncoder(name='theirs', graph=Path({str(graph)!r}), licence='none')\n"
    )
    install_codec_package(tmp_path / "site", monkeypatch, source, group="semlink.encoders", theirs="ENCODER")
    report = evaluated(codecs=["index"], encoder="theirs")
    assert (report.encoder, len(report.records)) == ("theirs", 2)


def test_codecs_of_a_model_set_do_not_suit_another_encoder(evaluated: Evaluated) -> None:
    with pytest.raises(ConfigError, match="use --weights trained with --encoder"):
        evaluated(codecs=["nested"], encoder=CORNERS, weights="model-set")
    with pytest.raises(ConfigError, match='encoder "unknown" is unknown; choose from: builtin'):
        evaluated(codecs=["nested"], encoder="unknown")


@pytest.mark.skipif(
    not (Path(os.environ.get("SEMLINK_DATA", "nowhere")) / "cifar-100-binary" / "test.bin").is_file(),
    reason="SEMLINK_DATA has no cifar-100-binary folder",
)
def test_the_builtin_codec_reaches_its_accuracy_on_cifar100() -> None:
    evaluation = evaluate(
        EvaluationConfig(data="cifar100", weights="model-set", limit=1000, num_seeds=2, snr_db=(-7, 10))
    )
    accuracy = {cell.snr_db: cell.semantic_accuracy for cell in evaluation.summary}
    # docs/results.md: 0.542 without noise, and 0.47 and 0.54 at 64 symbols; four standard errors of 1,000 images.
    assert evaluation.noiseless_accuracy == pytest.approx(0.542, abs=0.063)
    assert accuracy[-7.0] == pytest.approx(0.466, abs=0.063)
    assert accuracy[10.0] == pytest.approx(0.535, abs=0.063)
