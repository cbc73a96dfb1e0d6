"""Entries sent to the rest of their knowledge base."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.codebook.make import make_codebook
from edge_rx.codebook.simulate import HeldOut, Retrieval, SimulatedCode, simulate
from semlink.rates import parse_rate
from tests.support.retrieval import clustered

FEATURES, NUMBERS = clustered(400, seed=1, num_classes=8, spread=0.5)
LABELS = [f"label {number}" for number in NUMBERS]


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    return HeldOut.of(FEATURES, LABELS, np.arange(0, 400, 4))


@pytest.fixture(scope="module")
def code(held_out: HeldOut) -> SimulatedCode:
    codebook = make_codebook(held_out.kept, held_out.kept_labels, knowledge_base=bytes(32), space="0" * 64)
    return SimulatedCode.adapted(codebook, held_out.kept, held_out.kept_labels)


def test_sent_entries_are_not_among_those_that_remain(held_out: HeldOut) -> None:
    assert len(held_out.sent) == 100
    assert len(held_out.kept) == len(held_out.kept_labels) == 300
    assert (held_out.sent @ held_out.kept.T).max() < 1.0 - 1e-4


def test_accuracy_rises_with_snr_and_rate(code: SimulatedCode, held_out: HeldOut) -> None:
    accuracy = [
        [found.accuracy for found in simulate(code, held_out, parse_rate(rate), (-20.0, -10.0, 10.0))]
        for rate in ("16", "64")
    ]
    assert accuracy[0][0] < 0.5 < accuracy[0][2]
    assert accuracy[0][1] + 0.1 < accuracy[1][1]
    assert accuracy[1][2] > 0.9


def test_same_seed_gives_the_same_answers(code: SimulatedCode, held_out: HeldOut) -> None:
    first, again, other = (
        simulate(code, held_out, parse_rate("16"), (-7.0,), seed=seed)[0].answers for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_answers_are_scored_by_label_and_cosine() -> None:
    held_out = HeldOut(
        np.eye(3, dtype=np.float32), ["a", "", "b"], 2 * np.eye(3, dtype=np.float32)[[0, 1, 0]], ["a", "b", "c"]
    )
    found = Retrieval.of(np.array([0, 1, 2]), held_out)
    assert found.is_right.tolist() == [True, False]
    assert found.accuracy == 0.5
    np.testing.assert_allclose(found.cosines, [1.0, 1.0, 0.0])
    assert np.isnan(
        Retrieval.of(np.array([0]), HeldOut(held_out.sent[1:2], [""], held_out.kept, ["a", "b", "c"])).accuracy
    )
