"""Fitting the code of `nested`: mean and principal components of the training images, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("threadpoolctl", reason="needs semlink[train]")

from engines.models.codebook import Codebook
from semlink.errors import DatasetError
from tests.support.vectors import unit
from trainer.codecs import limits
from trainer.codecs.nested import centred_directions, fitted_nested
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.cifar100 import paper_train_split

DIM = 16


def training_set(num_images: int, *, key: str = "key") -> TrainingFeatures:
    """Features that vary ever less from axis to axis, around a mean."""
    rng = np.random.default_rng(num_images)
    features = unit(1.0 + rng.standard_normal((num_images, DIM)) * 0.8 ** np.arange(DIM))
    return TrainingFeatures(features, np.zeros(num_images, np.int64), "axes", key)


@pytest.fixture(scope="module")
def codebook(tmp_path_factory: pytest.TempPathFactory) -> Codebook:
    return fitted_nested(0, training_set(2000), tmp_path_factory.mktemp("runs"))


def test_code_is_mean_and_principal_components_alone(codebook: Codebook) -> None:
    data = training_set(2000)
    train, _, _ = paper_train_split(2000, 0)
    np.testing.assert_allclose(codebook.mean, data.features[train].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(codebook.projection.T @ codebook.projection, np.eye(DIM), atol=2e-3)
    power = np.square(codebook.directions(data.features[train]) @ codebook.projection).mean(axis=0)
    assert (np.diff(power) <= 1e-4).all()
    assert not codebook.has_cells
    assert not codebook.has_high_snr_code


def test_signals_are_as_similar_as_the_directions(codebook: Codebook) -> None:
    """The longest code keeps the similarities by which a receiver answers, for images of any kind."""
    features = np.random.default_rng(1).standard_normal((50, DIM)).astype(np.float32)
    signals, directions = unit(codebook.latent(features)), codebook.directions(features)
    np.testing.assert_allclose(signals @ signals.T, directions @ directions.T, atol=5e-3)


def test_first_reals_have_the_power_of_a_codeword(codebook: Codebook) -> None:
    latent = codebook.latent(training_set(2000).features)
    assert np.square(latent[:, :DIM]).mean() == pytest.approx(1.0, abs=0.01)


def test_fit_is_kept_and_bound_to_its_data(tmp_path: Path) -> None:
    first = fitted_nested(0, training_set(300), tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert fitted_nested(0, training_set(300), tmp_path).to_bytes() == first.to_bytes()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")} == kept
    fitted_nested(0, training_set(300, key="another key"), tmp_path)
    fitted_nested(1, training_set(300), tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 3


def test_few_images_are_enough(tmp_path: Path) -> None:
    """The directions that they do not decide are arbitrary, and still part of a code that loses nothing."""
    codebook = fitted_nested(0, training_set(limits.NESTED_MIN_IMAGES), tmp_path)
    np.testing.assert_allclose(codebook.projection.T @ codebook.projection, np.eye(DIM), atol=2e-3)


def test_features_without_a_direction_are_left_out() -> None:
    features = np.array([[1, 0], [-1, 0], [0, 2], [0, -2], [0, 0]], np.float32)
    mean, directions = centred_directions(features)
    np.testing.assert_array_equal(mean, 0.0)
    np.testing.assert_array_equal(directions, [[1, 0], [-1, 0], [0, 1], [0, -1]])


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.full((20, DIM), 0.25, np.float32), "all images to fit a code to have the same features"),
        (np.where(np.eye(20, DIM) > 0, np.nan, 1.0).astype(np.float32), "not finite"),
    ],
)
def test_features_that_no_code_can_be_fitted_to(features: np.ndarray, words: str, tmp_path: Path) -> None:
    data = TrainingFeatures(features, np.zeros(20, np.int64), "noise", "key")
    with pytest.raises(DatasetError, match=words):
        fitted_nested(0, data, tmp_path)
    assert not list(tmp_path.glob("*.npz"))
