"""What links that can lose an image share: encode received pictures, and score lost images as wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

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
    """Score a stream with lost images: a lost image is wrong and has cosine 0.

    Parameters
    ----------
    score : scores the received images, in order
    is_received : (n,) bool, which of the sent images were received
    """
    share = float(np.mean(is_received))
    if not share:
        return RetrievalScores(0.0, 0.0, 0.0, 0.0, 0.0)
    received = replace(
        noiseless,
        features=noiseless.features[is_received],
        labels=noiseless.labels[is_received],
        entries=noiseless.entries[is_received],
    )
    scores = score(received)
    means: dict[str, Any] = {name: None if mean is None else share * mean for name, mean in asdict(scores).items()}
    return RetrievalScores(**means)
