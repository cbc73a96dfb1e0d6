"""Training: resumable, deterministic, and exported without a change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs semlink[train]")

from engines.backends.runner import load_runner  # noqa: E402
from semlink.errors import ConfigError, DatasetError, ResultsError  # noqa: E402
from trainer.codecs.config import CodecTraining  # noqa: E402
from trainer.codecs.export import export_codec  # noqa: E402
from trainer.codecs.kbsc import KbscNetwork  # noqa: E402
from trainer.codecs.objectives import objective_loss  # noqa: E402
from trainer.codecs.training import train_codec  # noqa: E402
from trainer.codecs.training_data import TrainingFeatures  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in every training process: more threads than free cores would spin and wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


NAMES = ("mse", "similarity", "both")


@pytest.fixture(scope="module")
def data() -> TrainingFeatures:
    """Twenty clusters on the sphere: something that a codec can learn in a few epochs."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((20, 32))
    labels = rng.integers(0, 20, 2000)
    features = centres[labels] + 0.4 * rng.standard_normal((2000, 32))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return TrainingFeatures(features.astype(np.float32), labels, "clusters", "key")


def training(**changes: object) -> CodecTraining:
    base = CodecTraining(codec="kbsc", num_symbols=16, epochs=4, learning_rate=1e-3, precision="fp32")
    return msgspec.structs.replace(base, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"codec": "kbsc-reference"},
        {"channel": "rayleigh", "num_pilots": 8},
        {"precision": "bf16"},
        {"loss": "similarity"},
        {"loss": "both", "precision": "bf16"},
    ],
    ids=["kbsc", "reference", "rayleigh", "bf16", "similarity", "both"],
)
def test_codec_learns(data: TrainingFeatures, tmp_path: Path, changes: dict[str, object]) -> None:
    told: list[int] = []
    trained = train_codec(training(epochs=12, **changes), data, tmp_path, report=lambda done, *_: told.append(done))
    assert told == list(range(1, len(trained.validation_accuracy) + 1))
    # Guessing one of 20 clusters is right in 5 % of the cases.
    assert max(trained.validation_accuracy) > 0.5


def test_similarity_heeds_directions_alone() -> None:
    rng = np.random.default_rng(0)
    unit = torch.nn.functional.normalize
    features, sample = (unit(torch.from_numpy(rng.standard_normal((n, 32)).astype(np.float32))) for n in (20, 100))
    near = features + 0.1 * torch.randn(20, 32, generator=torch.Generator().manual_seed(0))
    loss = {(name, scale): objective_loss(name, scale * near, features, sample) for name in NAMES for scale in (1, 3)}
    assert loss["similarity", 3] == pytest.approx(loss["similarity", 1].item(), rel=1e-4)
    assert loss["mse", 3] > 10 * loss["mse", 1]
    assert loss["both", 1] == pytest.approx((loss["similarity", 1] + 32 * loss["mse", 1]).item(), rel=1e-4)
    assert objective_loss("similarity", features, features, sample) == pytest.approx(0.0, abs=1e-6)
    assert objective_loss("similarity", features.flip(0), features, sample) > 0.1


def test_runs_of_before_there_was_a_choice_still_stand() -> None:
    assert CodecTraining(codec="kbsc", num_symbols=64).key("key") == "kbsc-64-awgn-seed0-05bd7acd85"
    projection = {training(loss=loss).key("key") for loss in NAMES}
    assert len(projection) == len(NAMES)


def test_killed_run_ends_as_an_uninterrupted_one(data: TrainingFeatures, tmp_path: Path) -> None:
    whole = train_codec(training(), data, tmp_path / "whole")

    class Killed(BaseException):
        pass

    def kill(done: int, most: int, accuracy: float) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        train_codec(training(), data, tmp_path / "cut", report=kill)
    told: list[int] = []
    resumed = train_codec(training(), data, tmp_path / "cut", report=lambda done, *_: told.append(done))
    assert told == [3, 4]
    assert resumed.validation_accuracy == whole.validation_accuracy
    assert resumed.encoder_path.read_bytes() == whole.encoder_path.read_bytes()
    assert resumed.decoder_path.read_bytes() == whole.decoder_path.read_bytes()


def test_finished_run_is_not_trained_again(data: TrainingFeatures, tmp_path: Path) -> None:
    first = train_codec(training(epochs=1), data, tmp_path)
    told: list[int] = []
    assert train_codec(training(epochs=1), data, tmp_path, report=lambda *_: told.append(1)) == first
    assert told == []


def test_patience_ends_a_run_and_the_best_epoch_is_kept(data: TrainingFeatures, tmp_path: Path) -> None:
    trained = train_codec(training(epochs=60, patience=2), data, tmp_path)
    accuracy = trained.validation_accuracy
    assert len(accuracy) < 60
    assert trained.best_epoch == int(np.argmax(accuracy)) == len(accuracy) - 3


def test_another_seed_is_another_codec(data: TrainingFeatures, tmp_path: Path) -> None:
    one, two = (train_codec(training(epochs=1, seed=seed), data, tmp_path) for seed in (0, 1))
    assert one.encoder_path.read_bytes() != two.encoder_path.read_bytes()


def test_export_computes_what_the_network_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = KbscNetwork(32, 64)
    network.train()
    for _ in range(20):  # gives batch normalisation statistics that are not the identity's
        network.decoder(network.encoder(torch.randn(64, 32) * 3 + 1))
    network.eval()
    export_codec(network, tmp_path / "e.onnx", tmp_path / "d.onnx")
    features = torch.randn(5, 32)
    with torch.no_grad():
        latent = network.encoder(features)
        query = network.decoder(latent)
    # Weights are stored as fp16: a relative error of 2^-11 for each, averaged over the sums.
    np.testing.assert_allclose(load_runner(tmp_path / "e.onnx")(features.numpy()), latent, atol=5e-3)
    np.testing.assert_allclose(load_runner(tmp_path / "d.onnx")(latent.numpy()), query, atol=5e-3)


def test_paper_architecture() -> None:
    network = KbscNetwork(512, 128)
    shapes = [type(layer).__name__ for layer in network.encoder]
    assert shapes == ["Linear", "ReLU", "Linear", "BatchNorm1d"]
    assert [layer.out_features for layer in network.encoder if hasattr(layer, "out_features")] == [384, 128]
    assert [layer.out_features for layer in network.decoder if hasattr(layer, "out_features")] == [384, 512]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs"),
        ({"channel": "rayleigh"}, "pilots"),
        ({"snr_db": ()}, "snr_db"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"codec": "kbsc-reference", "loss": "both"}, "as published"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CodecTraining(**{"codec": "kbsc", "num_symbols": 16, **changes})


def test_too_little_data_is_refused(tmp_path: Path) -> None:
    few = TrainingFeatures(np.ones((100, 8), np.float32), np.zeros(100, np.int64), "few", "key")
    with pytest.raises(DatasetError, match="too few"):
        train_codec(training(), few, tmp_path)


def test_features_that_are_not_finite_are_refused(data: TrainingFeatures, tmp_path: Path) -> None:
    features = data.features.copy()
    features[7, 1] = np.nan
    with pytest.raises(DatasetError, match="not finite"):
        train_codec(training(), replace(data, features=features), tmp_path)


@pytest.mark.parametrize("lost", ["epoch", "width"])
def test_checkpoint_of_another_configuration_is_named(data: TrainingFeatures, tmp_path: Path, lost: str) -> None:
    folder = tmp_path / training().key(data.content_key)
    folder.mkdir()
    other = KbscNetwork(data.features.shape[1], 64)
    state = {"network": other.state_dict(), "optimizer": {}, "accuracies": []}
    torch.save({} if lost == "epoch" else state, folder / "checkpoint.pt")
    with pytest.raises(ResultsError, match="a checkpoint of another configuration; remove it"):
        train_codec(training(), data, tmp_path)


def test_damaged_checkpoint_is_named(data: TrainingFeatures, tmp_path: Path) -> None:
    folder = tmp_path / training().key(data.content_key)
    folder.mkdir()
    (folder / "checkpoint.pt").write_bytes(b"damaged")
    with pytest.raises(ResultsError, match="not a checkpoint"):
        train_codec(training(), data, tmp_path)


def test_other_data_of_the_same_name_is_another_run(data: TrainingFeatures) -> None:
    assert training().key("one") != training().key("two")


def test_run_that_cannot_be_kept_is_named(data: TrainingFeatures, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match="cannot be kept"):
        train_codec(training(), data, tmp_path / "file")
