"""Training of the DeepJSCC network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")

from semlink.errors import ConfigError, DatasetError, ResultsError
from semlink.rates import parse_rate
from tests.support.pictures import smooth_pictures
from trainer.codecs.deepjscc_network import DeepJsccNetwork
from trainer.codecs.deepjscc_training import DeepJsccTraining, read_pictures, train_deepjscc, trained_deepjscc
from trainer.datasets.base import ImageList


@pytest.fixture(scope="module")
def images() -> ImageList:
    pictures, kinds = smooth_pictures(130, 3)
    return ImageList.of_arrays(pictures, [str(index) for index in range(130)], list(kinds))


def test_weights_are_kept_and_bound_to_their_images(images: ImageList, tmp_path: Path) -> None:
    training, fewer = DeepJsccTraining(64, epochs=1, batch_size=32), images.subset(np.arange(120))
    epochs: list[float] = []
    first = trained_deepjscc(training, fewer, tmp_path, advance=epochs.append)
    again = trained_deepjscc(training, fewer, tmp_path, advance=epochs.append)
    assert epochs == [1]
    assert all(np.array_equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    trained_deepjscc(training, images.subset(np.arange(1, 121)), tmp_path, advance=epochs.append)
    assert epochs == [1, 1]
    path = training.path(fewer, tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ResultsError, match="remove it"):
        trained_deepjscc(training, fewer, tmp_path)


def test_pictures_of_another_size_or_too_few_are_named(images: ImageList) -> None:
    large = ImageList.of_arrays([np.zeros((32, 48, 3), np.uint8)], ["wide"], ["x"])
    with pytest.raises(DatasetError, match="wide is 48 x 32"):
        read_pictures(large)
    with pytest.raises(DatasetError, match="too few"):
        train_deepjscc(DeepJsccTraining(64, batch_size=32), read_pictures(images.subset(np.arange(10))))


def test_rate_below_one_real_for_each_position_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 32 symbols, got 16"):
        DeepJsccNetwork(parse_rate("16"))
