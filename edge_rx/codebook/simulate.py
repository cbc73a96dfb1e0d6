"""Transmissions of a knowledge base's own entries, through quantized I/Q codes and white noise, to the rest of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.adapted import adapted_templates
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.noise import NoiseEstimator, equalize_and_estimate
from engines.models.arrays import FloatArray
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.channel import ChannelModel, apply_channel
from semlink.iq import CodesFormat, Symbols, dequantize, normalize_power, pair_latent, quantize
from semlink.rates import Rate

__all__ = ["HeldOut", "Retrieval", "simulate"]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Entries that are sent, and the entries that remain in the knowledge base.

    Attributes
    ----------
    sent, kept : (n, feature_dim) and (m, feature_dim) float32 features
    sent_labels, kept_labels : "" for an entry without a label
    """

    sent: FloatArray
    sent_labels: Sequence[str]
    kept: FloatArray
    kept_labels: Sequence[str]

    @classmethod
    def of(cls, features: FloatArray, labels: Sequence[str], *, num_sent: int, rng: np.random.Generator) -> HeldOut:
        """Hold out entries at random."""
        order = rng.permutation(len(features))
        sent, kept = np.sort(order[:num_sent]), np.sort(order[num_sent:])
        return cls(features[sent], [labels[at] for at in sent], features[kept], [labels[at] for at in kept])

    @property
    def best_cosine(self) -> float:
        """Mean cosine of a sent entry and the nearest one that remains."""
        return float((_unit(self.sent) @ _unit(self.kept).T).max(axis=1).mean())


@dataclass(frozen=True)
class Retrieval:
    """Means over the sent entries.

    Attributes
    ----------
    accuracy : share of the labelled ones whose answer has their label, 0..1; None if none has a label
    match_cosine : cosine of the features of answer and sent entry, -1..1
    """

    accuracy: float | None
    match_cosine: float


def simulate(
    codebook: KnowledgeBaseCodebook, held_out: HeldOut, rate: Rate, snr_db: Sequence[float], *, seed: int = 0
) -> list[Retrieval]:
    """Send every held-out entry at each SNR, as one stream without pilots, and score the answers.

    Parameters
    ----------
    snr_db : Es/N0 of the white noise [dB]
    """
    templates, _ = adapted_templates(codebook, held_out.kept, held_out.kept_labels)
    detector = MapDetector(templates, rate)
    latent = codebook.code.latent(held_out.sent)[:, : rate.latent_dim]
    sent = _through_codes(normalize_power(pair_latent(latent)))
    retrievals = []
    for each in snr_db:
        output = apply_channel(sent, ChannelModel.AWGN, snr_db=each, rng=np.random.default_rng(seed))
        estimator = NoiseEstimator()
        equalized = [
            equalize_and_estimate(image, num_pilots=0, estimator=estimator) for image in _through_codes(output.symbols)
        ]
        symbols, noise_variance = np.stack([data for data, _ in equalized]), np.array([noise for _, noise in equalized])
        answers = np.array([found.entries[0] for found in detector.ranked(symbols, noise_variance)])
        retrievals.append(_score(answers, held_out))
    return retrievals


def _score(answers: npt.NDArray[np.int64], held_out: HeldOut) -> Retrieval:
    cosines = np.sum(_unit(held_out.kept)[answers] * _unit(held_out.sent), axis=1)
    pairs = zip(held_out.sent_labels, answers.tolist(), strict=True)
    hits = [held_out.kept_labels[answer] == label for label, answer in pairs if label]
    return Retrieval(float(np.mean(hits)) if hits else None, float(cosines.mean()))


def _through_codes(symbols: Symbols) -> Symbols:
    return dequantize(quantize(symbols, CodesFormat.SC8), CodesFormat.SC8)


def _unit(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)
