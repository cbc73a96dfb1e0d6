"""Discriminants are the closed form of normal cells with one covariance, and their shrinkage is what data favours."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.codebook.cells import Cells
from edge_rx.codebook.discriminants import SHRINKAGES, Discriminants, fit_discriminants, nearest_centroids
from tests.support.vectors import unit


def two_cells(num_entries: int, dim: int, *, spread: np.ndarray, seed: int = 0) -> tuple[np.ndarray, Cells]:
    """Entries around two points that differ in the first real, with a spread of each real."""
    rng = np.random.default_rng(seed)
    of_entries = np.arange(num_entries) % 2
    points = np.ones((2, dim)) * 2
    points[1, 0] -= 0.5
    vectors = points[of_entries] + spread * rng.standard_normal((num_entries, dim))
    return unit(vectors), Cells(of_entries, ("a", "b"))


def decided(discriminants: Discriminants, directions: np.ndarray) -> np.ndarray:
    return (directions @ discriminants.centroids.T + discriminants.offsets).argmax(axis=1)


def test_closed_form() -> None:
    directions, cells = two_cells(90, 4, spread=np.array([0.2, 0.6, 0.1, 0.4]))
    cells = Cells(np.minimum(cells.of_entries, np.arange(90) % 3), cells.labels)  # cells of different sizes
    found = fit_discriminants(directions, cells)

    exact = directions.astype(np.float64)
    means = np.stack([exact[cells.of_entries == cell].mean(axis=0) for cell in (0, 1)])
    deviations = exact - means[cells.of_entries]
    covariance = deviations.T @ deviations / (90 - 2)
    mean_variance = np.trace(covariance) / 4
    shrunk = (1 - found.shrinkage) * covariance + found.shrinkage * mean_variance * np.eye(4)
    centroids = np.linalg.solve(shrunk, means.T).T
    offsets = np.log(cells.counts() / 90) - (centroids * means).sum(axis=1) / 2

    factor = np.abs(centroids).max()
    np.testing.assert_allclose(found.centroids, centroids / factor, atol=1e-4)
    np.testing.assert_allclose(found.offsets, offsets / factor, atol=1e-4)


def test_few_entries_are_shrunk_more_than_many() -> None:
    spread = np.concatenate([[0.1], np.full(39, 0.8)])
    many, few = (fit_discriminants(*two_cells(num_entries, 40, spread=spread)) for num_entries in (4000, 30))
    assert many.shrinkage < few.shrinkage
    assert {many.shrinkage, few.shrinkage} <= set(SHRINKAGES)


def test_a_covariance_decides_better_than_the_nearest_mean() -> None:
    spread = np.concatenate([[0.1], np.full(19, 0.8)])
    directions, cells = two_cells(1000, 20, spread=spread)
    others, of_others = two_cells(1000, 20, spread=spread, seed=1)
    errors = [
        np.mean(decided(found, others) != of_others.of_entries)
        for found in (fit_discriminants(directions, cells), nearest_centroids(directions, cells))
    ]
    assert errors[0] < errors[1] / 2


@pytest.mark.parametrize("num_repeats", [1, 3])
def test_cells_of_identical_entries(num_repeats: int) -> None:
    """They have no covariance at all, and rounding errors are none either."""
    points = unit(np.random.default_rng(0).standard_normal((300, 64)))
    directions, of_entries = np.repeat(points, num_repeats, axis=0), np.repeat(np.arange(300), num_repeats)
    found = fit_discriminants(directions, Cells(of_entries, tuple(map(str, range(300)))))
    np.testing.assert_array_equal(decided(found, directions), of_entries)
    noisy = unit(directions + 0.05 * np.random.default_rng(1).standard_normal(directions.shape))
    assert np.mean(decided(found, noisy) == of_entries) > 0.99


def test_a_rare_cell_needs_more_evidence() -> None:
    directions, cells = two_cells(400, 3, spread=np.full(3, 0.4))
    kept = (cells.of_entries == 0) | (np.arange(400) < 20)
    found = fit_discriminants(directions[kept], Cells(cells.of_entries[kept], cells.labels))
    equal = fit_discriminants(directions, cells)
    assert np.mean(decided(found, directions) == 1) < np.mean(decided(equal, directions) == 1)


class TestAccuracies:
    """The accuracy of a cell is that of its decisions for images that its entries were not fitted to."""

    def test_expected_of_other_entries(self) -> None:
        spread = np.concatenate([[0.35], np.full(9, 0.4)])
        directions, cells = two_cells(2000, 10, spread=spread)
        found = fit_discriminants(directions, cells)
        others, of_others = two_cells(4000, 10, spread=spread, seed=1)
        cells_of_others = decided(found, others)
        for cell in (0, 1):
            measured = np.mean(of_others.of_entries[cells_of_others == cell] == cell)
            assert abs(found.accuracies[cell] - measured) < 0.04  # 95 % of 1,000 decisions, twice
        assert 0.6 < found.accuracies.min() < 0.95, "the test needs errors"

    def test_writers_are_not_mixed(self) -> None:
        """Entries of a writer differ less from each other than from those of another."""
        rng = np.random.default_rng(0)
        of_entries = np.repeat(np.arange(4), 100)
        writers = np.tile(np.repeat(np.arange(5), 20), 4)
        hands = rng.standard_normal((4, 5, 16))
        directions = unit(hands[of_entries, writers] + 0.1 * rng.standard_normal((400, 16)))
        mixed = rng.permutation(400)
        in_order, shuffled = (
            fit_discriminants(directions[rows], Cells(of_entries[rows], tuple("abcd"))).accuracies.mean()
            for rows in (np.arange(400), mixed)
        )
        assert in_order < 0.6 < 0.9 < shuffled

    def test_one_where_nothing_can_be_left_out(self) -> None:
        found = fit_discriminants(unit(np.eye(5, dtype=np.float32) + 0.1), Cells(np.arange(5), tuple("abcde")))
        assert found.accuracies.tolist() == [1.0] * 5

    def test_not_below_chance_where_every_left_out_entry_is_decided_wrongly(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(10):
            directions = unit(rng.standard_normal((6, 8)))
            found = fit_discriminants(directions, Cells(np.repeat(np.arange(3), 2), tuple("abc")))
            assert found.accuracies.min() >= np.float32(1 / 3)
