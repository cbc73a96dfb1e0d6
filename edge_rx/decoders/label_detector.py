"""Detection in two steps: the label by its probability, then the entry among those of the label.

    observation --label model--> probability of each label --largest--> label
    observation --signals of the label's entries--> candidates --minimum Bayes risk--> entry

An entry's own likelihood says little about its label where noise leaves many entries about equally likely; all entries
of a label together say much. And the probability of the label is one that an answer can carry.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.base import Candidate
from edge_rx.decoders.label_model import LabelModel
from edge_rx.decoders.ranking import NUM_CANDIDATES, RankedEntries, expected_similarity, probabilities
from edge_rx.decoders.rate_signals import RateSignals
from edge_rx.decoders.templates import SignalTemplates
from engines.models.arrays import FloatArray
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.iq import Symbols
from semlink.rates import Rate

__all__ = ["LabelDetector", "Labelling", "label_groups"]


_MOST_LABELS = 2048
"""Labels, and entries without one, of which a model is made; more would take seconds to fit, and much memory."""


def label_groups(labels: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """Number of each entry's label, (entries,) int64; entries without one have a number each. None without labels."""
    if not any(labels):
        return None
    names = {name: number for number, name in enumerate(dict.fromkeys(filter(None, labels)))}
    alone = itertools.count(len(names))
    return np.array([names[label] if label else next(alone) for label in labels], np.int64)


@dataclass(frozen=True, eq=False)
class Labelling:
    """What a detector decides between.

    Attributes
    ----------
    groups : (entries,) int64, number of each entry's label, or of its cell; -1 for an entry that is no answer
    accuracies : (labels,) float32, probability that an image of which a label is decided without noise has it, 0..1
    is_label : (labels,) bool; not so for a cell, or a single entry, without a label
    has_codewords : whether the signals of a label have a codeword in common
    """

    groups: npt.NDArray[np.int64]
    accuracies: FloatArray
    is_label: npt.NDArray[np.bool_]
    has_codewords: bool

    @classmethod
    def of_labels(cls, labels: Sequence[str]) -> Labelling | None:
        """Labels of entries whose signals are like their features; None where too few share one, or there are too many.

        Parameters
        ----------
        labels : label of each entry, "" without one
        """
        groups = label_groups(labels)
        if groups is None:
            return None
        counts = np.bincount(groups)
        is_label = np.zeros(len(counts), np.bool_)
        is_label[: len({*labels} - {""})] = True
        num_labelled = counts[is_label].sum()
        if len(counts) > _MOST_LABELS or counts[is_label & (counts > 1)].sum() < num_labelled / 2:
            return None
        return cls(groups, np.ones(len(counts), np.float32), is_label, has_codewords=False)

    @classmethod
    def of_cells(cls, codebook: KnowledgeBaseCodebook, answered: npt.NDArray[np.int64]) -> Labelling | None:
        """Labels of a codebook's cells; None if no cell has one.

        Parameters
        ----------
        answered : (entries,) int64, cell for which each entry is an answer; -1 for none
        """
        if not codebook.num_labelled_cells:
            return None
        return cls(answered, codebook.cell_accuracies, codebook.cell_labels != 0, has_codewords=True)

    def model(self, signals: RateSignals) -> LabelModel:
        """The model of the labels at one rate, from the signals in the order of the entries."""
        unit, num_labels = signals.signals(), len(self.is_label)
        if self.has_codewords:
            return LabelModel.of_codewords(unit, self.groups, num_labels, unexplained=signals.unexplained)
        # Signals of the expected correlation are too near to their mean by it.
        return LabelModel.fitted(unit / signals.correlations[:, None], self.groups, num_labels)


class LabelDetector:
    """Detector of labels and entries of one knowledge base at one rate.

    Parameters
    ----------
    templates : signals of the knowledge base's entries, one for each, in the order of their labels
    labelling : labels of the signals' entries, in the same order
    rate : number of symbols
    """

    def __init__(self, templates: SignalTemplates, labelling: Labelling, rate: Rate) -> None:
        self._labelling = labelling
        self._entries, self._vectors = templates.entries, templates.vectors
        self._signals = RateSignals(templates, rate)
        self._ends = np.cumsum(np.bincount(labelling.groups, minlength=len(labelling.is_label))).tolist()

    @classmethod
    def of_rates(
        cls, templates: SignalTemplates, labelling: Labelling, rates: Sequence[Rate]
    ) -> dict[Rate, LabelDetector]:
        """One detector for each rate, of signals in the order of the entries; all share those of the longest rate."""
        in_order = _in_order(templates, labelling)
        return {rate: cls(*in_order, rate) for rate in rates}

    @cached_property
    def _model(self) -> LabelModel:
        """Fitted by the first observation, or before it by `prepare`."""
        return self._labelling.model(self._signals)

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> FloatArray:
        """Reals and their noise variance, (batch, dim + 1) float32; parameters and errors as of `MapDetector`."""
        observed = self._signals.observed(symbols, noise_variance)
        return np.column_stack([observed.reals, observed.variance]).astype(np.float32)

    def match(self, queries: FloatArray) -> list[Candidate]:
        """The answer to each of (batch, dim + 1) float32, of `queries`."""
        return [self._candidate(*detected) for detected in self._detected(queries)]

    def ranked(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> list[RankedEntries]:
        """Candidates of each image's label by falling expected similarity; the first is the answer of `match`."""
        ranked = []
        for candidates, confidence in self._detected(self.queries(symbols, noise_variance)):
            order = np.argsort(-candidates.preference, kind="stable")
            confidence = self._confidence(candidates, int(order[0]), confidence)
            ranked.append(
                RankedEntries(self._entries[candidates.signals[order]], candidates.probabilities[order], confidence)
            )
        return ranked

    def confidences(self, queries: FloatArray, entries: npt.NDArray[np.int64]) -> list[float]:
        """Probability that each of (batch,) answers of another decoder has the label of its image, (batch, dim + 1)."""
        labels = self._labels_of_entries[entries]
        right = self._right(np.exp(self._log_posterior(queries)))
        right = np.take_along_axis(right, np.maximum(labels, 0)[:, None], axis=1)[:, 0]
        return [float(each) for each in np.where(labels >= 0, right, 0.0)]

    def prepare(self) -> None:
        """Fit the model of the labels now."""
        _ = self._model

    @cached_property
    def _labels_of_entries(self) -> npt.NDArray[np.int64]:
        """Label of each entry; -1 of one that is no answer."""
        labels = np.full(len(self._vectors), -1, np.int64)
        labels[self._entries] = self._labelling.groups
        return labels

    def _detected(self, queries: FloatArray) -> list[tuple[_Candidates, float]]:
        """Candidates of the most probable label of each image, and that label's probability."""
        log_posterior = self._log_posterior(queries)
        # Not the largest probability of being right: decisions that are seldom right would be answered with a label
        # that nobody sent, because the rest of the probability is spread over all others.
        labels = (log_posterior + self._log_accuracies).argmax(axis=1)
        right = np.take_along_axis(self._right(np.exp(log_posterior)), labels[:, None], axis=1)[:, 0]
        decided = zip(queries, labels.tolist(), right.tolist(), strict=True)
        return [(self._candidates(query[:-1], label, float(query[-1])), share) for query, label, share in decided]

    @cached_property
    def _log_accuracies(self) -> npt.NDArray[np.float64]:
        return np.log(np.maximum(self._labelling.accuracies.astype(np.float64), np.finfo(np.float64).tiny))

    def _log_posterior(self, queries: FloatArray) -> npt.NDArray[np.float64]:
        """Log-probability that each label was sent, (batch, labels); -inf for one without an entry."""
        return self._model.log_posterior(queries[:, :-1], queries[:, -1].astype(np.float64))

    def _right(self, posterior: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Probability that each label is right, (batch, labels), of which the transmitter's errors are a part."""
        accuracies = self._labelling.accuracies
        if len(accuracies) == 1:
            return posterior
        # A wrong decision of the transmitter is taken as one for any other label.
        missed = posterior * (1.0 - accuracies)
        others = (missed.sum(axis=1, keepdims=True) - missed) / (len(accuracies) - 1)
        return np.asarray(posterior - missed + others)

    def _candidates(self, reals: FloatArray, label: int, noise: float) -> _Candidates:
        """The most likely entries of a label."""
        signals, end = self._signals, self._ends[label]
        start = self._ends[label - 1] if label else 0
        products = signals.longest[start:end, : signals.dim] @ reals * signals.gains[start:end]
        log_likelihoods = (products - signals.half_energy[start:end]) / np.float32(noise + signals.unexplained)
        chosen = np.arange(end - start)
        if len(chosen) > NUM_CANDIDATES:
            chosen = np.argpartition(-log_likelihoods, NUM_CANDIDATES)[:NUM_CANDIDATES]
        vectors = self._vectors[self._entries[start + chosen]]
        return _Candidates(
            label,
            start + chosen,
            products[chosen],
            probabilities(log_likelihoods[None, chosen])[0],
            expected_similarity(vectors[None], log_likelihoods[None, chosen])[0],
        )

    def _candidate(self, candidates: _Candidates, confidence: float) -> Candidate:
        best = int(candidates.preference.argmax())
        signal = int(candidates.signals[best])
        correlation = float(candidates.products[best]) / math.sqrt(
            float(self._signals.half_energy[signal]) * self._signals.dim
        )
        score = min(1.0, max(-1.0, correlation))
        return Candidate(int(self._entries[signal]), score, self._confidence(candidates, best, confidence))

    def _confidence(self, candidates: _Candidates, best: int, confidence: float) -> float:
        """Probability that the answer is right: its label, or the entry itself where it has none."""
        is_label = self._labelling.is_label[candidates.label]
        return confidence if is_label else confidence * float(candidates.probabilities[best])


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Entries of one label for one image, by their signals' numbers; all but the label (m,)."""

    label: int
    signals: npt.NDArray[np.int64]
    products: FloatArray
    probabilities: FloatArray
    preference: FloatArray


def _in_order(templates: SignalTemplates, labelling: Labelling) -> tuple[SignalTemplates, Labelling]:
    """Signals in the order of their labels, without those that are no answer, so that those of a label are a slice."""
    order = np.argsort(labelling.groups, kind="stable")
    order = order[np.count_nonzero(labelling.groups < 0) :]
    correlation = None if templates.correlation is None else templates.correlation[order]
    in_order = replace(
        templates,
        signals=templates.signals[order],
        correlation=correlation,
        entries=templates.entries[order],
        similarity=templates.similarity[order],
        log_priors=templates.log_priors[order],
    )
    return in_order, replace(labelling, groups=labelling.groups[order])
