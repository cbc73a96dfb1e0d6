"""The probability of each label given what was received.

The received signals of a label's images are taken as normal: around the label's mean, with one covariance for all
labels, to which noise adds its own,

    log p(y | label) = t ((y . m - |m|^2 / 2) / (L + v)) + constant      in the coordinates of the covariance's axes

where L are the covariance's eigenvalues and v is the variance of the noise in each real. So one model serves every SNR:
noise fades out the directions in which labels are hard to tell apart, one after another.

Entries are nearer to their label's mean than images to come, because the mean was computed from them, and they are not
quite normal. The inverse temperature t, 0..1, makes up for that: at each of a few noise variances it is what entries
that were left out favour.

Sources: linear discriminant analysis, Fisher 1936; shrinkage of the covariance: Chen, Wiesel, Eldar, Hero, "Shrinkage
algorithms for MMSE covariance estimation", IEEE Trans. Signal Process. 58(10), 2010 (OAS); temperature: Guo, Pleiss,
Sun, Weinberger, "On calibration of modern neural networks", ICML 2017.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.noise_levels import VARIANCES, between
from edge_rx.decoders.total_probability import log_sum
from edge_rx.folds import block_folds
from engines.models.arrays import FloatArray

__all__ = ["LabelModel"]

_NUM_FOLDS = 5
_MOST_TESTED = 256
"""Left-out entries of each fold that choose the temperature, which bounds the time of it."""
_ENOUGH_TESTED = 512
"""Entries after which no further fold is left out."""
_LEAST_TESTED = 10
"""Entries below which they choose nothing."""
_TEMPERATURES = np.linspace(0.05, 1.0, 39)
_DEFAULT_TEMPERATURE = 0.5


@dataclass(frozen=True, eq=False)
class LabelModel:
    """Normal distributions of received signals, one for each label.

    Attributes
    ----------
    axes : (dim, dim) float32, the covariance's eigenvectors in columns; None if it is diagonal
    means : (labels, dim) float32, in their coordinates
    variances : (dim,) float64, the covariance's eigenvalues
    log_shares : (labels,) float64, log of each label's share of the entries; -inf for a label without one
    temperatures : (k,) inverse temperature at each noise variance of `VARIANCES`; 1 if the model is exact
    """

    axes: FloatArray | None
    means: FloatArray
    variances: npt.NDArray[np.float64]
    log_shares: npt.NDArray[np.float64]
    temperatures: tuple[float, ...] = (1.0,) * len(VARIANCES)

    @classmethod
    def of_codewords(
        cls, signals: FloatArray, labels: npt.NDArray[np.int64], num_labels: int, *, unexplained: float
    ) -> LabelModel:
        """The model where a label's signals have a codeword in common, and differ by their analog parts alone.

        Parameters
        ----------
        signals : (entries, dim) float32
        labels : (entries,) int64, number of each entry's label
        unexplained : variance of each real that is neither signal nor noise
        """
        means, deviations, log_shares = _centred(signals, labels, num_labels)
        return cls(None, means, np.square(deviations, dtype=np.float64).mean(axis=0) + unexplained, log_shares)

    @classmethod
    def fitted(cls, signals: FloatArray, labels: npt.NDArray[np.int64], num_labels: int) -> LabelModel:
        """Fit means, covariance and temperatures to the signals; parameters as for `of_codewords`."""
        model = cls._with_covariance(signals, labels, num_labels)
        folds = block_folds(labels, _NUM_FOLDS)
        likelihoods, num_tested = np.zeros((len(VARIANCES), len(_TEMPERATURES))), 0
        for fold in range(_NUM_FOLDS):
            is_left_out = folds == fold
            counts = np.bincount(labels[~is_left_out], minlength=num_labels)
            tested = np.flatnonzero(is_left_out & (counts[labels] > 0))
            if not len(tested):
                continue
            tested = tested[:: -(-len(tested) // _MOST_TESTED)]
            rest = cls._with_covariance(signals[~is_left_out], labels[~is_left_out], num_labels)
            likelihoods += rest._log_likelihoods(signals[tested], labels[tested])
            num_tested += len(tested)
            if num_tested >= _ENOUGH_TESTED:
                break
        if num_tested < _LEAST_TESTED:
            return replace(model, temperatures=(_DEFAULT_TEMPERATURE,) * len(VARIANCES))
        return replace(model, temperatures=tuple(_TEMPERATURES[likelihoods.argmax(axis=1)].tolist()))

    @classmethod
    def _with_covariance(cls, signals: FloatArray, labels: npt.NDArray[np.int64], num_labels: int) -> LabelModel:
        means, deviations, log_shares = _centred(signals, labels, num_labels)
        num_free = max(1, len(signals) - len(np.unique(labels)))
        covariance = np.asarray(deviations.T @ deviations, dtype=np.float64) / num_free
        variances, axes = np.linalg.eigh(_shrunk(covariance, num_free))
        axes = axes.astype(np.float32)
        return cls(axes, means @ axes, np.maximum(variances, 0.0), log_shares)

    def _log_likelihoods(self, signals: FloatArray, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Summed log-probability of the signals' own labels in white noise, (variances, temperatures)."""
        noise = np.random.default_rng(0).standard_normal(signals.shape).astype(np.float32)
        likelihoods = np.empty((len(VARIANCES), len(_TEMPERATURES)))
        for row, variance in enumerate(VARIANCES):
            scores = self._scores(signals + np.float32(variance**0.5) * noise, np.full(len(signals), variance))
            own = scores[np.arange(len(signals)), labels]
            likelihoods[row] = [np.sum(t * own - log_sum(t * scores)) for t in _TEMPERATURES]
        return likelihoods

    def log_posterior(self, received: FloatArray, variance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Log-probability of each label, (batch, labels).

        Parameters
        ----------
        received : (batch, dim) float32
        variance : (batch,) noise variance of each real
        """
        scores = between(variance, self.temperatures)[:, None] * self._scores(received, variance)
        return np.asarray(scores - log_sum(scores)[:, None])

    @cached_property
    def _half_squares(self) -> FloatArray:
        """Half of the squared means, (labels, dim)."""
        return np.asarray(np.square(self.means) / 2, dtype=np.float32)

    def _scores(self, received: FloatArray, variance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Log-probabilities up to a constant of each image, at temperature 1."""
        rotated = received if self.axes is None else received @ self.axes
        scores = np.empty((len(received), len(self.means)))
        for row, (reals, noise) in enumerate(zip(rotated, variance.tolist(), strict=True)):
            weights = np.asarray(1.0 / (self.variances + noise), dtype=np.float32)
            scores[row] = self.means @ (weights * reals) - self._half_squares @ weights
        return scores + self.log_shares


def _centred(
    signals: FloatArray, labels: npt.NDArray[np.int64], num_labels: int
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.float64]]:
    """Means, deviations from them, and log of each label's share of the entries."""
    counts = np.bincount(labels, minlength=num_labels)
    sums = np.zeros((num_labels, signals.shape[1]), np.float64)
    np.add.at(sums, labels, signals)
    means = np.asarray(sums / np.maximum(counts, 1)[:, None], dtype=np.float32)
    with np.errstate(divide="ignore"):
        return means, signals - means[labels], np.log(counts / len(labels))


def _shrunk(covariance: npt.NDArray[np.float64], num_free: int) -> npt.NDArray[np.float64]:
    """Shrink towards a multiple of the identity, by as much as so few deviations need (OAS)."""
    dim = len(covariance)
    trace, trace_of_square = float(np.trace(covariance)), float(np.square(covariance).sum())
    between = (num_free + 1 - 2 / dim) * (trace_of_square - trace**2 / dim)
    share = min(1.0, ((1 - 2 / dim) * trace_of_square + trace**2) / between) if between > 0 else 1.0
    return np.asarray((1 - share) * covariance + share * trace / dim * np.eye(dim))
