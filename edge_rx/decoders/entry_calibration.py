"""Calibration of the probability that an entry is the right answer, by entries that stand for images to come.

The likelihood of a signal takes what noise and entries leave unexplained as white, of one variance. It is neither, so
that the shares of likelihoods are not probabilities. Some entries are therefore sent, through noise of several powers,
to the others. At each power two numbers are chosen: an inverse temperature of the log-likelihoods, which sorts sure
answers from unsure ones best (the smallest Brier score), and a factor, at most 1, which makes confidences as large as
answers are right.

Images to come may be more like an entry than entries are like each other. Then they are answered right more often than
this calibration expects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.label_detector import label_groups
from edge_rx.decoders.noise_levels import VARIANCES, between
from engines.models.arrays import FloatArray

__all__ = ["EntryCalibration", "Scales", "TestedDetector"]

_MOST_TESTED = 256
_LARGE = 100_000
"""Entries above which fewer are tested, because each is compared with all others."""
_FEW_TESTED = 64
_BLOCK = 65_536
"""Entries that are compared at a time."""
_TEMPERATURES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_LEAST_TESTED = 10


@dataclass(frozen=True, eq=False)
class Scales:
    """What makes a probability of shares of likelihoods, at each noise variance of `VARIANCES`.

    Attributes
    ----------
    temperatures : inverse temperatures
    factors : of the shares
    """

    temperatures: tuple[float, ...]
    factors: tuple[float, ...]

    @classmethod
    def exact(cls) -> Scales:
        """For likelihoods that are as they are taken to be."""
        return cls((1.0,) * len(VARIANCES), (1.0,) * len(VARIANCES))

    def at(self, variance: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Temperature and factor at each noise variance of a real, both (batch,)."""
        return between(variance, self.temperatures), between(variance, self.factors)


class TestedDetector(Protocol):
    """What a calibration needs of a detector."""

    def answers_without(
        self, reals: FloatArray, noise: npt.NDArray[np.float64], left_out: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]]:
        """Answer (batch, dim) received reals, each without one entry, given the noise variance of their reals.

        Returns
        -------
        answers : (batch,) int64
        shares : the answers' shares of the likelihoods by inverse temperatures, both (batch,)
        """
        ...


@dataclass(frozen=True, eq=False)
class EntryCalibration:
    """Entries that stand for images to come.

    Attributes
    ----------
    entries : (k,) int64, their numbers
    codes : (k, width) float32, what a transmitter sends for them at the longest rate
    nearest : (k,) int64, the entry nearest to each
    groups : (entries,) int64, by which an answer is right; None if it must be the nearest entry
    """

    entries: npt.NDArray[np.int64]
    codes: FloatArray
    nearest: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64] | None

    @classmethod
    def of(
        cls, encode: Callable[[FloatArray], FloatArray], features: FloatArray, labels: Sequence[str]
    ) -> EntryCalibration:
        """Draw entries, of labels that others have too.

        Parameters
        ----------
        encode : features (batch, feature_dim) -> latent (batch, width)
        features : (entries, feature_dim) float32, unit length
        labels : label of each entry, "" without one
        """
        groups = label_groups(labels)
        others = np.full(len(features), len(features) > 1) if groups is None else np.bincount(groups)[groups] > 1
        drawn = np.flatnonzero(others)
        most = _MOST_TESTED if len(features) <= _LARGE else _FEW_TESTED
        drawn = drawn[:: max(1, -(-len(drawn) // most))]
        codes = encode(features[drawn]) if len(drawn) else np.empty((0, 2), np.float32)
        return cls(drawn, codes, _nearest_others(features, drawn), groups)

    def scales(self, detector: TestedDetector, dim: int) -> Scales:
        """Choose temperatures and factors for a detector of signals of `dim` reals."""
        if len(self.entries) < _LEAST_TESTED:
            return Scales.exact()
        prefix = self.codes[:, :dim]
        lengths = np.maximum(np.linalg.norm(prefix, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        sent = prefix * np.float32((dim / 2) ** 0.5) / lengths
        noise = np.random.default_rng(0).standard_normal(sent.shape).astype(np.float32)
        chosen = [self._choose(detector, sent + np.float32(each**0.5) * noise, each) for each in VARIANCES]
        temperatures, factors = zip(*chosen, strict=True)
        return Scales(temperatures, factors)

    def _choose(self, detector: TestedDetector, received: FloatArray, variance: float) -> tuple[float, float]:
        answers, shares_at = detector.answers_without(received, np.full(len(received), variance), self.entries)
        right = answers == self.nearest if self.groups is None else self.groups[answers] == self.groups[self.entries]

        def scored(temperature: float) -> tuple[float, float, float]:
            shares = shares_at(np.full(len(received), temperature))
            # One more right answer and one more wrong one: what no tested entry was answered right is not impossible.
            factor = min(1.0, (float(right.sum()) + 1.0) / (len(right) + 2.0) / max(float(shares.mean()), 1e-12))
            return float(np.square(factor * shares - right).mean()), temperature, factor

        _, temperature, factor = min(map(scored, _TEMPERATURES))
        return temperature, factor


def _nearest_others(features: FloatArray, drawn: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The entry nearest to each drawn one, besides itself."""
    best = np.full(len(drawn), -np.inf, np.float32)
    nearest = np.zeros(len(drawn), np.int64)
    for start in range(0, len(features), _BLOCK):
        similarity = features[drawn] @ features[start : start + _BLOCK].T
        own = np.flatnonzero((drawn >= start) & (drawn < start + similarity.shape[1]))
        similarity[own, drawn[own] - start] = -np.inf
        is_nearer = similarity.max(axis=1) > best
        nearest[is_nearer] = start + similarity[is_nearer].argmax(axis=1)
        best = np.maximum(best, similarity.max(axis=1))
    return nearest
