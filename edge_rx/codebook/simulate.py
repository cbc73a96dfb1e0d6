"""Transmissions of a knowledge base's own entries, through quantized I/Q codes and white noise, to the rest of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.adapted import AdaptedSignals
from edge_rx.decoders.codeword_search import CodewordSearch
from edge_rx.decoders.ranking import SymbolSearch
from edge_rx.kb.codebook_cells import entry_cells
from edge_rx.noise import NoiseEstimator, equalize_and_estimate
from engines.models.arrays import FloatArray
from engines.models.entry_codebook import EntryCodebook, LabelChoice, entry_codewords
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.channel import ChannelModel, apply_channel
from semlink.iq import CodesFormat, Symbols, dequantize, normalize_power, pair_latent, quantize
from semlink.rates import Rate

__all__ = ["HeldOut", "Retrieval", "SimulatedCode", "simulate"]


@dataclass(frozen=True, eq=False)
class SimulatedCode:
    """A code with its detector over the entries that remain.

    Attributes
    ----------
    encode : features (batch, feature_dim) and a rate -> latent (batch, 2 n or more)
    search : a rate -> symbols to entries
    """

    encode: Callable[[FloatArray, Rate], FloatArray]
    search: Callable[[Rate], SymbolSearch]

    @classmethod
    def adapted(cls, codebook: KnowledgeBaseCodebook, features: FloatArray, labels: Sequence[str]) -> SimulatedCode:
        """`adapted`, with the blind power shares."""
        signals = AdaptedSignals.of(codebook, features, labels)
        return cls(lambda sent, _rate: codebook.code.latent(sent), lambda rate: signals.detectors([rate])[rate])

    @classmethod
    def index(cls, codebook: KnowledgeBaseCodebook, features: FloatArray, labels: Sequence[str]) -> SimulatedCode:
        """`index`, whose transmitter decides the label by the codebook where that has labels."""
        knowledge_base, choice = codebook.knowledge_base.tobytes(), None
        if codebook.num_labelled_cells:
            choice = LabelChoice(codebook, entry_cells(codebook, features, labels).answered)
        entries = EntryCodebook.of(features, knowledge_base, space=codebook.encoder_fingerprint, choice=choice)
        return cls(
            lambda sent, rate: entry_codewords(knowledge_base, entries.nearest(sent), rate),
            lambda rate: CodewordSearch(knowledge_base, len(features), rate),
        )


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
    def of(
        cls,
        features: FloatArray,
        labels: Sequence[str],
        sent: npt.NDArray[np.int64],
        left_out: npt.NDArray[np.int64] | None = None,
    ) -> HeldOut:
        """Hold out entries.

        Parameters
        ----------
        sent : numbers of those that are sent
        left_out : numbers of those that do not remain; those that are sent if None
        """
        kept = np.setdiff1d(np.arange(len(features)), sent if left_out is None else left_out)
        return cls(features[sent], [labels[at] for at in sent], features[kept], [labels[at] for at in kept])


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Answers to the sent entries.

    Attributes
    ----------
    answers : (n,) int64, numbers among the entries that remain
    is_right : (k,) whether the answer has the label, for each of the k sent entries with a label
    cosines : (n,) float32, of the features of answer and sent entry
    """

    answers: npt.NDArray[np.int64]
    is_right: npt.NDArray[np.bool_]
    cosines: FloatArray

    @classmethod
    def of(cls, answers: npt.NDArray[np.int64], held_out: HeldOut) -> Retrieval:
        """Compare answers with what was sent."""
        pairs = zip(held_out.sent_labels, answers.tolist(), strict=True)
        is_right = [held_out.kept_labels[answer] == label for label, answer in pairs if label]
        matched = held_out.kept[answers]
        lengths = np.linalg.norm(matched, axis=1) * np.linalg.norm(held_out.sent, axis=1)
        cosines = np.sum(matched * held_out.sent, axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
        return cls(answers, np.array(is_right, np.bool_), np.asarray(cosines, dtype=np.float32))

    @property
    def accuracy(self) -> float:
        """Share of the labelled ones whose answer has their label, 0..1; NaN if none has a label."""
        return float(self.is_right.mean()) if len(self.is_right) else float("nan")


def simulate(
    code: SimulatedCode, held_out: HeldOut, rate: Rate, snr_db: Sequence[float], *, seed: int = 0
) -> list[Retrieval]:
    """Send every held-out entry at each SNR, as one stream without pilots.

    Parameters
    ----------
    snr_db : Es/N0 of the white noise [dB]
    """
    search = code.search(rate)
    latent = code.encode(held_out.sent, rate)[:, : rate.latent_dim]
    sent = _through_codes(normalize_power(pair_latent(latent)))
    retrievals = []
    for each in snr_db:
        output = apply_channel(sent, ChannelModel.AWGN, snr_db=each, rng=np.random.default_rng(seed))
        estimator = NoiseEstimator()
        equalized = [
            equalize_and_estimate(image, num_pilots=0, estimator=estimator) for image in _through_codes(output.symbols)
        ]
        symbols, noise_variance = np.stack([data for data, _ in equalized]), np.array([noise for _, noise in equalized])
        answers = np.array([found.entries[0] for found in search.ranked(symbols, noise_variance)], np.int64)
        retrievals.append(Retrieval.of(answers, held_out))
    return retrievals


def _through_codes(symbols: Symbols) -> Symbols:
    return dequantize(quantize(symbols, CodesFormat.SC8), CodesFormat.SC8)
