"""Retrieval without codec and channel, and the measures of a retrieval over a link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.ranking import RankedEntries
from edge_rx.kb.index import FlatIndex
from engines.models.image_encoder import Features

__all__ = [
    "RECALL_DEPTH",
    "NoiselessRetrieval",
    "RetrievalScores",
    "calibration_error",
    "score_entries",
    "score_ranked",
    "score_retrieval",
]

RECALL_DEPTH = 10
"""Number of best matches that recall@10 considers."""
_NUM_BINS = 10


@dataclass(frozen=True, eq=False)
class NoiselessRetrieval:
    """The images to send, the knowledge base, and what each image retrieves without codec and channel.

    Attributes
    ----------
    features : (n, feature_dim) float32, of the sent images
    labels : (n,) str, of the sent images
    index, kb_labels : the knowledge base and its (m,) labels
    entries : (n,) int64, the entry that each image's features retrieve
    """

    features: Features
    labels: npt.NDArray[np.str_]
    index: FlatIndex
    kb_labels: npt.NDArray[np.str_]
    entries: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls, features: Features, labels: npt.NDArray[np.str_], kb_features: Features, kb_labels: npt.NDArray[np.str_]
    ) -> NoiselessRetrieval:
        """Build the index and retrieve for every sent image."""
        index = FlatIndex(kb_features.shape[1])
        index.add(kb_features)
        entries, _ = index.search(features, num_matches=1)
        return cls(features, labels, index, kb_labels, entries[:, 0])

    @property
    def kb_features(self) -> Features:
        """(m, feature_dim) float32, the features of the knowledge base's entries."""
        return self.index.vectors(0, len(self.index))

    @property
    def accuracy(self) -> float:
        """Semantic accuracy without codec and channel, 0..1."""
        return float(np.mean(self.kb_labels[self.entries] == self.labels))


@dataclass(frozen=True)
class RetrievalScores:
    """Means over the sent images, each in -1..1 or 0..1; see docs/definitions.md, "Measures".

    The calibration error is None where the receiver gives no confidence.
    """

    semantic_accuracy: float
    recall_at_1: float
    recall_at_10: float
    mean_cosine: float
    match_cosine: float
    calibration_error: float | None = None


def score_retrieval(queries: Features, noiseless: NoiselessRetrieval) -> RetrievalScores:
    """Search for received queries, (n, feature_dim), and compare with the noiseless retrieval, row by row."""
    entries, _ = noiseless.index.search(queries, num_matches=RECALL_DEPTH)
    return score_entries(list(entries), queries, noiseless)


def score_ranked(
    ranked: Sequence[RankedEntries], noiseless: NoiselessRetrieval, *, is_label_known: bool = True
) -> RetrievalScores:
    """Compare the result of a detector with the noiseless retrieval.

    The query is the posterior mean of the entries' features.

    Parameters
    ----------
    is_label_known : whether the confidences are those of labels; else of being the nearest entry
    """
    features = noiseless.kb_features
    queries = np.stack([found.probabilities @ features[found.entries] for found in ranked])
    scores = score_entries([found.entries for found in ranked], queries, noiseless)
    answers = np.array([found.entries[0] for found in ranked])
    is_right = noiseless.kb_labels[answers] == noiseless.labels if is_label_known else answers == noiseless.entries
    return replace(scores, calibration_error=calibration_error([found.confidence for found in ranked], is_right))


def calibration_error(confidences: Sequence[float], is_right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error over ten bins of equal width, 0..1.

    Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017.
    """
    values = np.asarray(confidences)
    bins = np.minimum((values * _NUM_BINS).astype(np.int64), _NUM_BINS - 1)
    gaps = np.bincount(bins, values - is_right, minlength=_NUM_BINS)
    return float(np.abs(gaps).sum() / len(values))


def score_entries(
    entries: Sequence[npt.NDArray[np.int64]], queries: Features, noiseless: NoiselessRetrieval
) -> RetrievalScores:
    """Compare retrieved entries with the noiseless retrieval, image by image.

    Parameters
    ----------
    entries : for each sent image the entries retrieved, best first
    queries : (n, feature_dim) float32, of any length: the receiver's estimate of the images' features
    """
    norms = np.linalg.norm(queries, axis=1) * np.linalg.norm(noiseless.features, axis=1)
    cosine = np.sum(queries * noiseless.features, axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)
    first = np.array([found[0] for found in entries])
    matched = noiseless.kb_features[first]
    hits = [entry in found[:RECALL_DEPTH] for found, entry in zip(entries, noiseless.entries, strict=True)]
    return RetrievalScores(
        semantic_accuracy=float(np.mean(noiseless.kb_labels[first] == noiseless.labels)),
        recall_at_1=float(np.mean(first == noiseless.entries)),
        recall_at_10=float(np.mean(hits)),
        mean_cosine=float(np.mean(cosine)),
        match_cosine=float(np.mean(np.sum(matched * noiseless.features, axis=1))),
    )
