"""The feature cache: computed once, resumed after a kill, rebuilt when damaged."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from engines.models.image_encoder import Features
from semlink.cache import cache_folder
from semlink.errors import ConfigError, DatasetError
from semlink.image import RGBImage
from tests.support.deadlines import DEADLINE_S
from trainer.datasets import ImageList
from trainer.features import cached_features

NUM_IMAGES = 300


class MeanColour:
    """Encodes an image as its corner pixel; counts, and may be killed on the way."""

    feature_dim = 3

    def __init__(self, fingerprint: str = "a" * 64, *, die_after: int | None = None, hard: bool = False) -> None:
        self.fingerprint, self.num_encoded = fingerprint, 0
        self._die_after, self._hard = die_after, hard

    def encode(self, images: Sequence[RGBImage]) -> Features:
        if self._die_after is not None and self.num_encoded >= self._die_after:
            if self._hard:
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt
        self.num_encoded += len(images)
        return np.stack([image[0, 0] for image in images]).astype(np.float32)


@pytest.fixture(scope="module")
def images() -> ImageList:
    pixels = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 2, 2, 3), dtype=np.uint8)
    names = [str(index) for index in range(NUM_IMAGES)]
    return ImageList.of_arrays(list(pixels), names, names)


@pytest.fixture(scope="module")
def expected(images: ImageList) -> Features:
    return MeanColour().encode([images.image(index) for index in range(NUM_IMAGES)])


def test_encoded_once(tmp_path: Path, images: ImageList, expected: Features) -> None:
    encoder = MeanColour()
    for _ in range(2):
        np.testing.assert_array_equal(cached_features(images, encoder, cache=tmp_path), expected)
    assert encoder.num_encoded == NUM_IMAGES
    assert not list(tmp_path.glob("*.part"))


def test_another_encoder_or_list_has_its_own_file(tmp_path: Path, images: ImageList, expected: Features) -> None:
    cached_features(images, MeanColour(), cache=tmp_path)
    other = MeanColour("b" * 64)
    cached_features(images, other, cache=tmp_path)
    assert other.num_encoded == NUM_IMAGES
    few = cached_features(images.subset(np.array([5, 3])), MeanColour(), cache=tmp_path)
    np.testing.assert_array_equal(few, expected[[5, 3]])


def test_the_cache_is_semlinks_own_by_default(
    tmp_path: Path, images: ImageList, expected: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path))
    np.testing.assert_array_equal(cached_features(images, MeanColour()), expected)
    assert len(list((tmp_path / "features").glob("*.npy"))) == 1


def test_interrupted_and_resumed(tmp_path: Path, images: ImageList, expected: Features) -> None:
    with pytest.raises(KeyboardInterrupt):
        cached_features(images, MeanColour(die_after=160), cache=tmp_path)
    (part,) = tmp_path.glob("*.part")
    with part.open("ab") as file:
        file.write(b"torn row")
    encoder = MeanColour()
    np.testing.assert_array_equal(cached_features(images, encoder, cache=tmp_path), expected)
    assert encoder.num_encoded == NUM_IMAGES - 160


@pytest.mark.process
def test_killed_and_resumed(tmp_path: Path, images: ImageList, expected: Features) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=cached_features,
        args=(images, MeanColour(die_after=208, hard=True)),
        kwargs={"cache": tmp_path},
        daemon=True,  # ends with the tests, whatever fails
    )
    process.start()
    process.join(DEADLINE_S)
    assert process.exitcode == -signal.SIGKILL
    encoder = MeanColour()
    np.testing.assert_array_equal(cached_features(images, encoder, cache=tmp_path), expected)
    assert 0 < encoder.num_encoded < NUM_IMAGES


@pytest.mark.parametrize("keep_bytes", [0, 5, 100, -1])
def test_a_truncated_cache_is_rebuilt(tmp_path: Path, images: ImageList, expected: Features, keep_bytes: int) -> None:
    cached_features(images, MeanColour(), cache=tmp_path)
    (finished,) = tmp_path.glob("*.npy")
    finished.write_bytes(finished.read_bytes()[:keep_bytes])
    np.testing.assert_array_equal(cached_features(images, MeanColour(), cache=tmp_path), expected)


def test_a_part_of_another_shape_starts_again(tmp_path: Path, images: ImageList, expected: Features) -> None:
    with pytest.raises(KeyboardInterrupt):
        cached_features(images, MeanColour(die_after=160), cache=tmp_path)
    (part,) = tmp_path.glob("*.part")
    part.write_bytes(b"\x93NUMPY other" + part.read_bytes()[20:])
    encoder = MeanColour()
    np.testing.assert_array_equal(cached_features(images, encoder, cache=tmp_path), expected)
    assert encoder.num_encoded == NUM_IMAGES


def test_a_cache_that_cannot_be_made_names_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"file/features: the cache cannot be made: .*; set SEMLINK_CACHE to a fold"):
        cache_folder("features")


def test_no_images(tmp_path: Path, images: ImageList) -> None:
    none = images.subset(np.array([], dtype=np.int64))
    assert cached_features(none, MeanColour(), cache=tmp_path).shape == (0, 3)


def test_a_cache_that_cannot_be_written_is_one_error(tmp_path: Path, images: ImageList) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="set SEMLINK_CACHE to another folder"):
        cached_features(images, MeanColour(), cache=tmp_path / "file")
