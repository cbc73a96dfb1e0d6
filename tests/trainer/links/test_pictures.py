"""Streams with lost images."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from engines.models.image_encoder import ImageEncoder
from trainer.links.pictures import encode_pictures, score_received
from trainer.links.retrieval import NoiselessRetrieval, score_retrieval


def test_lost_image_is_wrong(noiseless: NoiselessRetrieval) -> None:
    every = np.ones(300, dtype=bool)
    whole = score_received(partial(score_retrieval, noiseless.features), every, noiseless)
    assert whole == score_retrieval(noiseless.features, noiseless)
    half = np.arange(300) < 150
    scores = score_received(partial(score_retrieval, noiseless.features[half]), half, noiseless)
    assert scores.recall_at_1 == 0.5
    assert scores.mean_cosine == pytest.approx(0.5, abs=1e-5)
    none = score_received(partial(score_retrieval, noiseless.features[:0]), ~every, noiseless)
    assert (none.semantic_accuracy, none.recall_at_10, none.match_cosine) == (0.0, 0.0, 0.0)


def test_any_number_of_pictures_is_encoded(encoder: ImageEncoder, sent_pictures: list[np.ndarray]) -> None:
    features = encode_pictures(sent_pictures[:20], encoder)
    assert features.shape == (20, 16)
    np.testing.assert_allclose(features[17:], encode_pictures(sent_pictures[17:20], encoder), atol=1e-5)
    assert encode_pictures([], encoder).shape == (0, 16)
