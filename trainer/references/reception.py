"""What both references do after the channel: hear as `nested` does, re-encode pictures as the transmitter would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_rx.noise import NoiseEstimator, undo_gain
from engines.image_encoder import Features
from semlink.image import RGBImage
from semlink.iq import Symbols
from trainer.evaluation.link import AirInterface, over_the_air
from trainer.evaluation.metrics import CleanRetrieval, RetrievalScores, score_retrieval
from trainer.features import FeatureEncoder

__all__ = ["encode_pictures", "score_received", "send_symbols"]

_BATCH_SIZE = 16


def send_symbols(
    symbols: Symbols, air: AirInterface, rng: np.random.Generator
) -> tuple[Symbols, npt.NDArray[np.float64]]:
    """Send images as one stream, and undo the gain with what a receiver knows: pilots, or that it is 1.

    Parameters
    ----------
    symbols : (batch, n) complex64, of unit mean power in each row

    Returns
    -------
    received : (batch, n) complex64, as sent but for the noise
    noise_variance : (batch,) N0 of each row, as the receiver estimates it
    """
    heard, _ = over_the_air(symbols, air, rng)
    estimator = NoiseEstimator()
    undone = [undo_gain(image, num_pilots=air.num_pilots, estimator=estimator) for image in heard]
    return np.stack([data for data, _ in undone]), np.array([noise for _, noise in undone])


def encode_pictures(pictures: Sequence[RGBImage], encoder: FeatureEncoder) -> Features:
    """Features of any number of pictures, (len(pictures), feature_dim) float32."""
    starts = range(0, len(pictures), _BATCH_SIZE)
    parts = [encoder.encode(pictures[start : start + _BATCH_SIZE]) for start in starts]
    return np.concatenate([np.zeros((0, encoder.feature_dim), dtype=np.float32), *parts])


def score_received(queries: Features, is_received: npt.NDArray[np.bool_], clean: CleanRetrieval) -> RetrievalScores:
    """Score a stream of which some images were lost: a lost one is wrong, and resembles nothing.

    Parameters
    ----------
    queries : (num_received, feature_dim) float32, of the images that arrived, in order
    is_received : (n,) which of the sent images those are
    """
    share = float(np.mean(is_received))
    if not share:
        return RetrievalScores(0.0, 0.0, 0.0, 0.0, 0.0)
    arrived = replace(
        clean,
        features=clean.features[is_received],
        labels=clean.labels[is_received],
        entries=clean.entries[is_received],
    )
    scores = score_retrieval(queries, arrived)
    return RetrievalScores(
        semantic_accuracy=share * scores.semantic_accuracy,
        recall_at_1=share * scores.recall_at_1,
        recall_at_10=share * scores.recall_at_10,
        mean_cosine=share * (scores.mean_cosine or 0.0),
        match_cosine=share * scores.match_cosine,
    )
