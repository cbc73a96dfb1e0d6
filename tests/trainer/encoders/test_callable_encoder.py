"""A Python function as an image encoder, wherever features are computed from Python."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.kb.build import build_knowledge_base, labelled_folder
from semlink.errors import ConfigError, EngineError
from semlink.image import Preprocessing, RGBImage
from trainer.datasets import open_dataset
from trainer.encoders.callable_encoder import CallableEncoder
from trainer.features import cached_features


def corner_colours(images: np.ndarray) -> np.ndarray:
    return images[:, :2, :2].reshape(len(images), -1) + 1.0


@pytest.fixture
def encoder() -> CallableEncoder:
    return CallableEncoder(
        name="corners", function=corner_colours, feature_dim=12, preprocessing=Preprocessing(8), version="1"
    )


def test_images_of_any_size_have_features_of_unit_norm(encoder: CallableEncoder, pictures: dict[str, RGBImage]) -> None:
    images = [*pictures.values(), np.zeros((3, 90, 3), np.uint8)]
    features = encoder.encode(images)
    assert (features.shape, features.dtype) == ((len(images), 12), np.float32)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(encoder.encode(images[:1]), features[:1])
    assert encoder.encode([]).shape == (0, 12)


def test_the_fingerprint_changes_with_every_field_but_the_function(encoder: CallableEncoder) -> None:
    changes = {"name": "other", "version": "2", "feature_dim": 13, "preprocessing": Preprocessing(8, "bilinear")}
    others = {dataclasses.replace(encoder, **{field: value}).fingerprint for field, value in changes.items()}
    assert len(others | {encoder.fingerprint}) == 5
    assert dataclasses.replace(encoder, function=len).fingerprint == encoder.fingerprint


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images: images.mean(axis=(1, 2)), r"expected features of shape \(1, 12\), got \(1, 3\)"),
        (lambda images: np.zeros((len(images), 12)), "zero or not finite"),
        (lambda images: np.full((len(images), 12), np.nan), "zero or not finite"),
    ],
)
def test_functions_that_give_no_features(encoder: CallableEncoder, function: object, message: str) -> None:
    with pytest.raises(EngineError, match=f"encoder corners: .*{message}"):
        dataclasses.replace(encoder, function=function).encode([np.zeros((8, 8, 3), np.uint8)])


def test_features_are_cached(encoder: CallableEncoder, picture_folder: Path, tmp_path: Path) -> None:
    images = open_dataset(picture_folder).knowledge_base
    expected = encoder.encode([images.image(index) for index in range(len(images))])
    np.testing.assert_array_equal(cached_features(images, encoder, cache=tmp_path), expected)
    unused = dataclasses.replace(encoder, function=lambda images: pytest.fail("encoded again"))
    np.testing.assert_array_equal(cached_features(images, unused, cache=tmp_path), expected)


def test_a_knowledge_base_is_built(encoder: CallableEncoder, picture_folder: Path, tmp_path: Path) -> None:
    report = build_knowledge_base(labelled_folder(picture_folder), tmp_path / "kb", encoder)
    assert report.num_entries == 12


def test_it_is_no_model_set(encoder: CallableEncoder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='encoder "corners" is a Python function, which no model set can hold'):
        encoder.write(tmp_path / "set")
    assert not (tmp_path / "set").exists()
