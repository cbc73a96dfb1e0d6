"""`adapted` in an evaluation: the knowledge base's code, with its labels and without."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from semlink.rates import parse_rate
from tests.support.conditions import awgn
from tests.support.retrieval import clustered_retrieval
from trainer.links.adapted_link import adapted_links, unlabelled_links
from trainer.links.base import LinkInputs
from trainer.links.retrieval import NoiselessRetrieval

KINDS = {"num_classes": 20, "spread": 0.7}


@pytest.fixture(scope="module")
def noiseless() -> NoiselessRetrieval:
    return clustered_retrieval(**KINDS)


@pytest.fixture(scope="module")
def inputs(noiseless: NoiselessRetrieval) -> LinkInputs:
    return LinkInputs(noiseless, images=None, encoder=None)  # features are enough


def test_labels_make_it_better_than_the_nearest_entry(inputs: LinkInputs, noiseless: NoiselessRetrieval) -> None:
    link = adapted_links(inputs)(None, parse_rate("64"), 0)
    scores = link.retrieve(noiseless, awgn(0.0), np.random.default_rng(0))
    assert scores.semantic_accuracy > noiseless.accuracy
    assert scores.recall_at_10 >= scores.recall_at_1


def test_without_labels_it_finds_a_similar_entry(inputs: LinkInputs, noiseless: NoiselessRetrieval) -> None:
    link = unlabelled_links(inputs)(None, parse_rate("64"), 0)
    scores = link.retrieve(noiseless, awgn(0.0), np.random.default_rng(0))
    assert scores.semantic_accuracy > noiseless.accuracy - 0.1


def test_seeds_have_codebooks_of_their_own(inputs: LinkInputs, noiseless: NoiselessRetrieval) -> None:
    make = adapted_links(inputs)
    scores = [
        make(None, parse_rate("8"), seed).retrieve(noiseless, awgn(-7.0), np.random.default_rng(0))
        for seed in (0, 0, 1)
    ]
    assert scores[0] == scores[1] != scores[2]
