"""The probability of candidates among all signals, most of which a search does not return.

A search returns the most likely signals. Far above the noise the others add nothing; in noise they may hold most of the
probability between them. Their sum is estimated from a sample of signals, evenly spread over all of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray

__all__ = ["SignalSample", "log_sum"]

_SAMPLE_SIZE = 1024


class SignalSample:
    """Some of the signals of a search; all of them if there are no more than `_SAMPLE_SIZE`.

    Parameters
    ----------
    vectors : (signals, dim) float32, as the search holds them

    Attributes
    ----------
    vectors : (m, dim) float32, of the sample
    """

    def __init__(self, vectors: FloatArray) -> None:
        self._num_signals = len(vectors)
        self._ids = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLE_SIZE)).astype(np.int64))
        self.vectors = np.ascontiguousarray(vectors[self._ids])

    def log_total(
        self, sampled: FloatArray, signal_ids: npt.NDArray[np.int64], log_likelihoods: FloatArray
    ) -> npt.NDArray[np.float64]:
        """Log of the summed likelihoods of all signals, (batch,).

        Parameters
        ----------
        sampled : (batch, m) log-likelihoods of the sample
        signal_ids, log_likelihoods : (batch, k), those that the search returned; -inf for one that is left out
        """
        found = log_sum(log_likelihoods)
        num_others = self._num_signals - signal_ids.shape[1]
        if num_others <= 0:
            return found
        positions = np.searchsorted(self._ids, signal_ids).clip(max=len(self._ids) - 1)
        rows, columns = np.nonzero(self._ids[positions] == signal_ids)
        # The others are no more likely than the least likely one that was returned, whatever rounding says.
        least = np.where(np.isfinite(log_likelihoods), log_likelihoods, np.inf).min(axis=1, keepdims=True)
        others = np.minimum(sampled, least).astype(np.float64)
        others[rows, positions[rows, columns]] = -np.inf
        num_sampled = np.maximum(np.isfinite(others).sum(axis=1), 1)
        with np.errstate(divide="ignore"):
            return np.asarray(np.logaddexp(found, log_sum(others) + np.log(num_others / num_sampled)))


def log_sum(log_likelihoods: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Log of the sum of each row's exponentials, (batch,); -inf for a row of -inf."""
    largest = log_likelihoods.max(axis=1, keepdims=True).astype(np.float64)
    safe = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(safe[:, 0] + np.log(np.exp(log_likelihoods - safe).sum(axis=1)))
