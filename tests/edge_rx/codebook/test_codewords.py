"""Codewords are far apart, or alike where cells are, at every prefix."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.codebook.codewords import CODE_DIM, separated_codewords, similar_codewords
from tests.support.vectors import unit

PREFIXES = (8, 16, 32, 64, CODE_DIM)


def largest_product(words: np.ndarray, length: int) -> int:
    prefix = words[:, :length].astype(np.int64)
    products = prefix @ prefix.T
    return int(products[~np.eye(len(words), dtype=bool)].max())


@pytest.mark.parametrize("num_cells", [2, 10, 100, 300])
def test_prefixes_are_farther_apart_than_random_words(num_cells: int) -> None:
    words = separated_codewords(num_cells)
    assert words.shape == (num_cells, CODE_DIM)
    assert set(np.unique(words)) == {-1, 1}
    rng = np.random.default_rng(0)
    for length in PREFIXES:
        drawn = [
            largest_product(rng.choice(np.array([-1, 1], np.int8), (num_cells, length)), length) for _ in range(20)
        ]
        assert largest_product(words, length) <= min(drawn), length
    assert largest_product(words, 64) < np.median(drawn)


def test_two_cells_have_opposite_words() -> None:
    words = separated_codewords(2)
    np.testing.assert_array_equal(words[0], -words[1])


@pytest.mark.parametrize("num_cells", [1, 5])
def test_a_seed_gives_the_same_words(num_cells: int) -> None:
    np.testing.assert_array_equal(separated_codewords(num_cells, seed=3), separated_codewords(num_cells, seed=3))
    assert (separated_codewords(num_cells, seed=3) != separated_codewords(num_cells, seed=4)).any()


def test_similar_cells_have_similar_words() -> None:
    centroids = unit(np.random.default_rng(0).standard_normal((60, 8)))
    words = similar_codewords(centroids).astype(np.float64)
    np.testing.assert_array_equal(words, similar_codewords(centroids))
    centred = unit(centroids - centroids.mean(axis=0))
    pairs = np.triu_indices(60, 1)
    for length, least in {32: 0.6, 64: 0.75, CODE_DIM: 0.95}.items():
        # Charikar: a sign differs with probability angle / pi.
        agreement = (words[:, :length] @ words[:, :length].T)[pairs] / length
        expected = 1 - 2 * np.arccos(np.clip((centred @ centred.T)[pairs], -1, 1)) / np.pi
        assert np.corrcoef(agreement, expected)[0, 1] > least, length
