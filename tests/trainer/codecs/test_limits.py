"""Smallest training sets agree with the split that codecs are fitted to."""

from __future__ import annotations

import pytest

from trainer.codecs import limits
from trainer.codecs.config import CodecTraining
from trainer.datasets.cifar100 import paper_train_split


@pytest.mark.parametrize(
    ("min_images", "num_fitted"),
    [
        (limits.NESTED_MIN_IMAGES, 8),
        (limits.NESTED_CELLS_MIN_IMAGES, 10),
        (limits.VQ_MIN_IMAGES, 20),
        (limits.DEEPJSCC_MIN_IMAGES, 2 * 64),
    ],
)
def test_smallest_training_set_has_enough_images_to_fit_to(min_images: int, num_fitted: int) -> None:
    train, held_out, kb = paper_train_split(min_images - 1, seed=0)
    assert len(train) < num_fitted or not min(len(held_out), len(kb))
    for num_images in range(min_images, min_images + 100):
        train, held_out, kb = paper_train_split(num_images, seed=0)
        assert len(train) >= num_fitted
        assert min(len(held_out), len(kb)) > 0


def test_kbsc_needs_ten_batches() -> None:
    assert 10 * CodecTraining(codec="kbsc", num_symbols=16).batch_size == limits.KBSC_MIN_IMAGES
