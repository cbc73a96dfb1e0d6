"""Clustered features, and a codebook that another process makes of them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from benchmarks.clustered import NUM_LABELS, clustered_features, codebook_in_fresh_process, cyclic_labels


def test_features_are_nearer_to_those_of_their_label() -> None:
    features, labels = clustered_features(3 * NUM_LABELS), cyclic_labels(3 * NUM_LABELS)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, atol=1e-5)
    similarity = features @ features.T
    np.fill_diagonal(similarity, -1.0)
    assert [labels[nearest] for nearest in similarity.argmax(axis=1)] == labels


def test_fewer_entries_are_the_first_ones_of_more() -> None:
    np.testing.assert_array_equal(clustered_features(150), clustered_features(400)[:150])


def test_labels_may_be_unknown() -> None:
    assert len({*cyclic_labels(1_000)}) == NUM_LABELS
    assert {*cyclic_labels(1_000, are_known=False)} == {""}


@pytest.mark.process
@pytest.mark.parametrize(("has_labels", "num_labelled_cells"), [(True, NUM_LABELS), (False, 0)])
def test_a_process_makes_the_codebook(has_labels: bool, num_labelled_cells: int) -> None:
    made = codebook_in_fresh_process(2 * NUM_LABELS, has_labels=has_labels, num_threads=1)
    assert made.codebook.num_labelled_cells == num_labelled_cells
    assert made.duration_ms > 0
    assert made.features_mb == 2 * NUM_LABELS * 512 * 4 / 2**20
    assert made.peak_resident_mb > made.features_mb
