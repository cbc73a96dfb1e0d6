"""Cells are labels, and k-means cells of entries without one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.codebook.cells import Cells, cell_sums, cells_of
from tests.support.vectors import gathered, unit

DIRECTIONS = gathered(120, 16, num_points=6)


def test_labels_are_cells_in_alphabetical_order() -> None:
    labels = [("cat", "apple", "boat")[entry % 3] for entry in range(120)]
    cells = cells_of(DIRECTIONS, labels)
    assert cells.labels == ("apple", "boat", "cat")
    assert cells.are_labels
    assert [cells.labels[cell] for cell in cells.of_entries] == labels


def test_entries_without_a_label_have_cells_beside_those_of_labels() -> None:
    rng = np.random.default_rng(0)
    points = np.repeat(np.arange(6), 20)
    directions = unit(rng.standard_normal((6, 16))[points] + 0.2 * rng.standard_normal((120, 16)))
    is_near = points == 2
    labels = ["a" if near and entry % 2 == 0 else "" for entry, near in enumerate(is_near)]
    cells = cells_of(directions, labels)
    assert cells.labels[0] == "a"
    assert set(cells.labels[1:]) == {""}
    assert not cells.are_labels
    assert cells.num_cells > 10
    assert (cells.counts() > 0).all()
    assert (cells.of_entries[~is_near] >= 1).all()
    assert np.mean(cells.of_entries[is_near] == 0) > 0.7, "those like the entries of the label share its cell"


def test_without_labels_each_entry_has_the_cell_of_the_nearest_centre() -> None:
    directions = gathered(400, 16, num_points=6)
    cells = cells_of(directions, [""] * 400, most=200)
    assert cells.labels == ("",) * cells.num_cells
    assert 1 < cells.num_cells <= 200
    assert (cells.counts() > 0).all()
    centres = unit(cells.means(directions))
    within = np.sum(directions * centres[cells.of_entries], axis=1)
    assert within.mean() > (directions @ centres.T).mean() + 0.3


def test_entries_without_labels_have_a_cell_each_where_there_is_room() -> None:
    assert sorted(cells_of(DIRECTIONS, [""] * 120).of_entries) == list(range(120))


@pytest.mark.parametrize("num_labels", [41, 120])
def test_more_labels_than_cells(num_labels: int) -> None:
    cells = cells_of(DIRECTIONS, [str(entry % num_labels) for entry in range(120)], most=40)
    assert cells.num_cells <= 40
    assert not any(cells.labels)


def test_labels_that_leave_no_cell_for_other_entries() -> None:
    labels = [str(entry) if entry < 40 else "" for entry in range(120)]
    cells = cells_of(DIRECTIONS, labels, most=40)
    assert cells.num_cells <= 40
    assert not any(cells.labels)


def test_means_are_those_of_each_cell() -> None:
    of_entries = np.random.default_rng(0).integers(0, 5, 20_000)
    vectors = np.random.default_rng(1).standard_normal((20_000, 3)).astype(np.float32)
    expected = np.stack([vectors[of_entries == cell].mean(axis=0, dtype=np.float64) for cell in range(5)])
    np.testing.assert_allclose(Cells(of_entries, ("",) * 5).means(vectors), expected, atol=1e-6)
    sums = cell_sums(vectors, of_entries, 6)
    assert not sums[5].any(), "a cell without entries"


def test_one_entry() -> None:
    cells = cells_of(DIRECTIONS[:1], [""])
    assert (cells.labels, cells.of_entries.tolist()) == (("",), [0])
