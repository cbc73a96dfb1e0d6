"""Training runs: resumable and deterministic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs semlink[train]")

from semlink.errors import DatasetError, ResultsError  # noqa: E402
from trainer.codecs.config import CodecTraining, KbscConfig, TrainingRun  # noqa: E402
from trainer.codecs.kbsc import KbscNetwork  # noqa: E402
from trainer.codecs.training import train_codec  # noqa: E402
from trainer.codecs.training_data import TrainingFeatures  # noqa: E402

HONEST, PUBLISHED = KbscConfig(), KbscConfig(uses_paper_channel=True)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in every training process: more threads than free cores would spin and wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data() -> TrainingFeatures:
    """Twenty clusters on the sphere: something that a codec can learn in a few epochs."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((20, 32))
    labels = rng.integers(0, 20, 2000)
    features = centres[labels] + 0.4 * rng.standard_normal((2000, 32))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return TrainingFeatures(features.astype(np.float32), labels, "clusters", "key")


def training(config: KbscConfig = HONEST, **changes: object) -> TrainingRun:
    base = CodecTraining(codec="mine", num_symbols=16, epochs=4, learning_rate=1e-3, precision="fp32")
    return TrainingRun(msgspec.structs.replace(base, **changes), config)


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (HONEST, {}),
        (PUBLISHED, {}),
        (HONEST, {"channel": "rayleigh", "num_pilots": 8}),
        (HONEST, {"precision": "bf16"}),
        (HONEST, {"loss": "similarity"}),
        (HONEST, {"loss": "both", "precision": "bf16"}),
    ],
    ids=["honest", "published", "rayleigh", "bf16", "similarity", "both"],
)
def test_codec_learns(data: TrainingFeatures, tmp_path: Path, config: KbscConfig, changes: dict[str, object]) -> None:
    epochs_done: list[int] = []
    trained = train_codec(
        training(config, epochs=12, **changes), data, tmp_path, report=lambda done, *_: epochs_done.append(done)
    )
    assert epochs_done == list(range(1, len(trained.validation_accuracy) + 1))
    # Guessing one of 20 clusters is right in 5 % of the cases.
    assert max(trained.validation_accuracy) > 0.5


def test_killed_run_ends_as_an_uninterrupted_one(data: TrainingFeatures, tmp_path: Path) -> None:
    whole = train_codec(training(), data, tmp_path / "whole")

    class Killed(BaseException):
        pass

    def kill(done: int, most: int, accuracy: float) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        train_codec(training(), data, tmp_path / "cut", report=kill)
    epochs_done: list[int] = []
    resumed = train_codec(training(), data, tmp_path / "cut", report=lambda done, *_: epochs_done.append(done))
    assert epochs_done == [3, 4]
    assert resumed.validation_accuracy == whole.validation_accuracy
    assert resumed.encoder_path.read_bytes() == whole.encoder_path.read_bytes()
    assert resumed.decoder_path.read_bytes() == whole.decoder_path.read_bytes()


def test_finished_run_is_not_trained_again(data: TrainingFeatures, tmp_path: Path) -> None:
    first = train_codec(training(epochs=1), data, tmp_path)
    epochs_done: list[int] = []
    assert train_codec(training(epochs=1), data, tmp_path, report=lambda *_: epochs_done.append(1)) == first
    assert epochs_done == []


def test_patience_ends_a_run_and_the_best_epoch_is_kept(data: TrainingFeatures, tmp_path: Path) -> None:
    trained = train_codec(training(epochs=60, patience=2), data, tmp_path)
    accuracy = trained.validation_accuracy
    assert len(accuracy) < 60
    assert trained.best_epoch == int(np.argmax(accuracy)) == len(accuracy) - 3


def test_another_seed_is_another_codec(data: TrainingFeatures, tmp_path: Path) -> None:
    one, two = (train_codec(training(epochs=1, seed=seed), data, tmp_path) for seed in (0, 1))
    assert one.encoder_path.read_bytes() != two.encoder_path.read_bytes()


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
    folder = tmp_path / training().settings.key(data.content_key)
    folder.mkdir()
    other = KbscNetwork(data.features.shape[1], 64)
    state = {"network": other.state_dict(), "optimizer": {}, "accuracies": []}
    torch.save({} if lost == "epoch" else state, folder / "checkpoint.pt")
    with pytest.raises(ResultsError, match="a checkpoint of another configuration; remove it"):
        train_codec(training(), data, tmp_path)


def test_damaged_checkpoint_is_named(data: TrainingFeatures, tmp_path: Path) -> None:
    folder = tmp_path / training().settings.key(data.content_key)
    folder.mkdir()
    (folder / "checkpoint.pt").write_bytes(b"damaged")
    with pytest.raises(ResultsError, match="not a checkpoint"):
        train_codec(training(), data, tmp_path)


def test_run_that_cannot_be_kept_is_named(data: TrainingFeatures, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match="cannot be kept"):
        train_codec(training(), data, tmp_path / "file")
