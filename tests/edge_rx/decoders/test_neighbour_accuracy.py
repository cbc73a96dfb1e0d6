"""How often an image has the label of the nearest entry, measured among the entries."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rx.decoders.neighbour_accuracy import neighbour_accuracies
from tests.support.retrieval import clustered
from trainer.links.retrieval import calibration_error


def named(numbers: np.ndarray) -> list[str]:
    return [f"label {number}" for number in numbers]


@pytest.mark.parametrize("spread", [0.3, 1.0, 1.6])
def test_it_is_the_accuracy_of_images_to_come(spread: float) -> None:
    features, numbers = clustered(3000, seed=1, spread=spread)
    images, image_numbers = clustered(4000, seed=2, spread=spread)
    accuracies = neighbour_accuracies(features, named(numbers))
    nearest = (images @ features.T).argmax(axis=1)
    is_right = numbers[nearest] == image_numbers
    assert accuracies[nearest].mean() == pytest.approx(is_right.mean(), abs=0.04)
    assert calibration_error(accuracies[nearest], is_right) <= 0.05


def test_each_label_has_its_own() -> None:
    """Two labels share a cluster, and one has another to itself."""
    features, numbers = clustered(900, seed=1, num_classes=2, spread=0.3)
    split = np.where(numbers == 0, np.random.default_rng(0).integers(0, 2, 900), 2)
    accuracies = neighbour_accuracies(features, named(split))
    assert accuracies[split == 2].min() > 0.95
    assert 0.35 < accuracies[split < 2].min() <= accuracies[split < 2].max() < 0.65
    for label in range(3):
        assert len({*accuracies[split == label].tolist()}) == 1


def test_labels_that_are_seldom_answered_are_taken_as_all() -> None:
    features, numbers = clustered(1000, seed=1, spread=1.0)
    numbers[:2] = 99  # which are near to nothing of their own
    accuracies = neighbour_accuracies(features, named(numbers))
    assert 0.0 < accuracies[0] < accuracies[2:].mean()


def test_neighbours_in_a_folder_do_not_flatter() -> None:
    """Of pictures that come in pairs of about the same, the other is no image to come."""
    features, numbers = clustered(200, seed=1, spread=1.6)
    order = np.argsort(numbers, kind="stable")
    features, numbers = features[order], numbers[order]
    alone, twice = (
        neighbour_accuracies(np.repeat(features, times, axis=0), named(np.repeat(numbers, times))) for times in (1, 2)
    )
    assert twice.mean() == pytest.approx(alone.mean(), abs=0.1)
    assert twice.mean() < 0.8


def test_entries_without_a_label_are_right_where_they_are_nearest() -> None:
    features, numbers = clustered(300, seed=1, spread=1.6)
    labels = named(numbers)
    labels[::3] = [""] * 100
    accuracies = neighbour_accuracies(features, labels)
    assert (accuracies[::3] == 1.0).all()
    assert accuracies[1::3].max() < 1.0
    assert (neighbour_accuracies(features, [""] * 300) == 1.0).all()


def test_labels_of_one_entry_cannot_be_measured() -> None:
    features, _ = clustered(50)
    assert (neighbour_accuracies(features, [f"label {entry}" for entry in range(50)]) == 1.0).all()


def test_lengths_do_not_matter() -> None:
    features, numbers = clustered(300, seed=1, spread=1.0)
    lengths = np.random.default_rng(0).uniform(0.1, 10.0, (300, 1)).astype(np.float32)
    expected = neighbour_accuracies(features, named(numbers))
    np.testing.assert_array_equal(neighbour_accuracies(lengths * features, named(numbers)), expected)


@pytest.mark.parametrize("num_entries", [1, 2, 30])
def test_identical_entries_have_a_probability(num_entries: int) -> None:
    for vector in (np.ones(8, np.float32), np.zeros(8, np.float32)):
        with np.errstate(all="raise"):
            labels = ["a", "b", ""] * num_entries
            accuracies = neighbour_accuracies(np.tile(vector, (num_entries, 1)), labels[:num_entries])
        assert ((accuracies >= 0.0) & (accuracies <= 1.0)).all()
