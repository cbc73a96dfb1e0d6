"""Measures of a retrieval, and how sure we are of their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from edge_rx.decoders.ranking import RankedEntries
from edge_rx.kb.index import FlatIndex
from engines.models.image_encoder import Features

__all__ = [
    "RECALL_DEPTH",
    "Interval",
    "NoiselessRetrieval",
    "RetrievalScores",
    "confidence_interval",
    "proportion_interval",
    "score_entries",
    "score_ranked",
    "score_retrieval",
]

RECALL_DEPTH = 10
"""Entries among which recall@10 looks."""


@dataclass(frozen=True)
class NoiselessRetrieval:
    """What retrieval gives without codec and channel: the ideal that everything is measured against.

    Attributes
    ----------
    features : (n, feature_dim) float32, of the sent images
    labels : (n,) str, of the sent images
    index, kb_labels : the knowledge base and its (m,) labels
    entries : (n,) int64, the entry that each clean feature retrieves
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
    def noiseless_accuracy(self) -> float:
        """Semantic accuracy of the clean features."""
        return float(np.mean(self.kb_labels[self.entries] == self.labels))


@dataclass(frozen=True)
class RetrievalScores:
    """Shares in 0..1, means over the sent images; see docs/definitions.md, "Measures"."""

    semantic_accuracy: float
    recall_at_1: float
    recall_at_10: float
    mean_cosine: float
    match_cosine: float


def score_retrieval(queries: Features, noiseless: NoiselessRetrieval) -> RetrievalScores:
    """Search for the received queries and compare with the clean retrieval, row by row."""
    entries, _ = noiseless.index.search(queries, num_matches=RECALL_DEPTH)
    return score_entries(list(entries), queries, noiseless)


def score_ranked(ranked: Sequence[RankedEntries], noiseless: NoiselessRetrieval) -> RetrievalScores:
    """Compare what a search of signals found; what it takes for the query is the mean of the entries probably meant."""
    features = noiseless.index.vectors(0, len(noiseless.index))
    queries = np.stack([found.probabilities @ features[found.entries] for found in ranked])
    return score_entries([found.entries for found in ranked], queries, noiseless)


def score_entries(
    entries: Sequence[npt.NDArray[np.int64]], queries: Features, noiseless: NoiselessRetrieval
) -> RetrievalScores:
    """Compare retrieved entries with the clean retrieval, image by image.

    Parameters
    ----------
    entries : for each sent image the entries retrieved, best first
    queries : (n, feature_dim) float32, of any length: what the receiver takes the images' features to be
    """
    norms = np.linalg.norm(queries, axis=1) * np.linalg.norm(noiseless.features, axis=1)
    cosine = np.sum(queries * noiseless.features, axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)
    first = np.array([found[0] for found in entries])
    matched = noiseless.index.vectors(0, len(noiseless.index))[first]
    hits = [wanted in found[:RECALL_DEPTH] for found, wanted in zip(entries, noiseless.entries, strict=True)]
    return RetrievalScores(
        semantic_accuracy=float(np.mean(noiseless.kb_labels[first] == noiseless.labels)),
        recall_at_1=float(np.mean(first == noiseless.entries)),
        recall_at_10=float(np.mean(hits)),
        mean_cosine=float(np.mean(cosine)),
        match_cosine=float(np.mean(np.sum(matched * noiseless.features, axis=1))),
    )


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % confidence interval; the interval of a single value is the whole line."""

    mean: float
    low: float
    high: float


def confidence_interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean over seeds."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, float("-inf"), float("inf"))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half)


def proportion_interval(num_right: int, num_trials: int) -> Interval:
    """Wilson's 95 % interval of a share, for one run over `num_trials` images."""
    result = stats.binomtest(num_right, num_trials).proportion_ci(0.95, method="wilson")
    return Interval(num_right / num_trials, float(result.low), float(result.high))
