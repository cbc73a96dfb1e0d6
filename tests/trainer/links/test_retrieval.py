"""Measures of a retrieval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.decoders.ranking import RankedEntries
from tests.support.vectors import unit
from trainer.links.retrieval import NoiselessRetrieval, score_ranked, score_retrieval


def test_recall_counts_instances(noiseless: NoiselessRetrieval) -> None:
    perfect = score_retrieval(noiseless.features, noiseless)
    assert (perfect.recall_at_1, perfect.recall_at_10) == (1.0, 1.0)
    assert perfect.mean_cosine == pytest.approx(1.0, abs=1e-5)
    assert perfect.semantic_accuracy == noiseless.accuracy
    random = score_retrieval(unit(np.random.default_rng(3).standard_normal((300, 16))), noiseless)
    assert random.recall_at_1 < 0.05
    assert random.semantic_accuracy < 0.25


def test_mean_cosine_is_that_of_the_posterior_mean(noiseless: NoiselessRetrieval) -> None:
    features = noiseless.kb_features[:2]
    one = replace(
        noiseless, features=noiseless.features[:1], labels=noiseless.labels[:1], entries=noiseless.entries[:1]
    )
    ranked = RankedEntries(np.array([1, 0]), np.array([0.75, 0.25], np.float32), confidence=0.75)
    mean = 0.25 * features[0] + 0.75 * features[1]
    scores = score_ranked([ranked], one)
    assert scores.mean_cosine == pytest.approx(mean @ one.features[0] / np.linalg.norm(mean), abs=1e-5)
    assert scores.match_cosine == pytest.approx(features[1] @ one.features[0], abs=1e-5)
