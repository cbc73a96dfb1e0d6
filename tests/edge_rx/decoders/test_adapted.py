"""Signals of `adapted`: each entry's cell, and the labels that answers are chosen by."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.codebook.make import Shape, make_codebook
from edge_rx.decoders.adapted import AdaptedSignals
from edge_rx.decoders.label_detector import label_groups
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from tests.support.retrieval import clustered

FEATURES, NUMBERS = clustered(400, seed=1, num_classes=8, spread=0.3)
LABELS = [f"label {number}" for number in NUMBERS]


@pytest.fixture(scope="module")
def codebook() -> KnowledgeBaseCodebook:
    shape = Shape(uses_labels=True, digital_power_share=0.8)
    return make_codebook(FEATURES, LABELS, knowledge_base=bytes(32), space="0" * 64, shape=shape)


def cells_of(codebook: KnowledgeBaseCodebook, signals: np.ndarray) -> list[int]:
    """The cells whose codewords correlate most with signals."""
    return (signals @ codebook.code.codewords.T.astype(np.float32)).argmax(axis=1).tolist()


def test_an_entry_has_the_cell_of_its_label(codebook: KnowledgeBaseCodebook) -> None:
    exchanged = LABELS[::-1]
    signals = AdaptedSignals.of(codebook, FEATURES, exchanged)
    for templates in (signals.blind, signals.high_snr):
        names = sorted(set(LABELS))
        assert [names[cell] for cell in cells_of(codebook, templates.signals)] == exchanged


@pytest.mark.parametrize("label", ["", "of a later knowledge base"])
def test_an_entry_without_a_known_label_has_the_cell_of_its_features(
    codebook: KnowledgeBaseCodebook, label: str
) -> None:
    expected = codebook.code.cells(codebook.code.directions(FEATURES))
    many = np.tile(FEATURES, (11, 1))  # more than are compared at a time
    signals = AdaptedSignals.of(codebook, many, [label] * len(many))
    assert cells_of(codebook, signals.blind.signals) == np.tile(expected, 11).tolist()


def test_codes_differ_in_their_signals_alone(codebook: KnowledgeBaseCodebook) -> None:
    signals = AdaptedSignals.of(codebook, FEATURES, LABELS)
    blind, high_snr = signals.blind, signals.high_snr
    assert not np.allclose(blind.signals, high_snr.signals)
    assert high_snr.vectors is blind.vectors
    np.testing.assert_array_equal(blind.entries, np.arange(400))
    np.testing.assert_array_equal(blind.groups, high_snr.groups)


def test_groups_are_labels_and_single_entries_without_one() -> None:
    groups = label_groups(["a", "", "b", "a", "", "b"])
    assert groups is not None
    assert groups[0] == groups[3] != groups[2] == groups[5]
    assert sorted({*groups.tolist()}) == [0, 1, 2, 3], "consecutive"
    assert label_groups(["", ""]) is None
