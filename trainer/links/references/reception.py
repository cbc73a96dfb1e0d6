"""What references share: re-encode pictures as the transmitter would, score the lost as wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engines.models.image_encoder import Features
from semlink.image import RGBImage
from trainer.features import FeatureEncoder
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores

__all__ = ["encode_pictures", "score_received"]

_BATCH_SIZE = 16


def encode_pictures(pictures: Sequence[RGBImage], encoder: FeatureEncoder) -> Features:
    """Features of any number of pictures, (len(pictures), feature_dim) float32."""
    starts = range(0, len(pictures), _BATCH_SIZE)
    parts = [encoder.encode(pictures[start : start + _BATCH_SIZE]) for start in starts]
    return np.concatenate([np.zeros((0, encoder.feature_dim), dtype=np.float32), *parts])


def score_received(
    score: Callable[[NoiselessRetrieval], RetrievalScores],
    is_received: npt.NDArray[np.bool_],
    noiseless: NoiselessRetrieval,
) -> RetrievalScores:
    """Score a stream of which some images were lost: a lost one is wrong, and resembles nothing.

    Parameters
    ----------
    score : scores the images that arrived, in order
    is_received : (n,) which of the sent images those are
    """
    share = float(np.mean(is_received))
    if not share:
        return RetrievalScores(0.0, 0.0, 0.0, 0.0, 0.0)
    arrived = replace(
        noiseless,
        features=noiseless.features[is_received],
        labels=noiseless.labels[is_received],
        entries=noiseless.entries[is_received],
    )
    scores = score(arrived)
    return RetrievalScores(
        semantic_accuracy=share * scores.semantic_accuracy,
        recall_at_1=share * scores.recall_at_1,
        recall_at_10=share * scores.recall_at_10,
        mean_cosine=share * scores.mean_cosine,
        match_cosine=share * scores.match_cosine,
    )
