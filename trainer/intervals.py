"""95 % confidence intervals: of a mean over seeds, and of a proportion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["Interval", "confidence_interval", "proportion_interval"]


@dataclass(frozen=True)
class Interval:
    """A mean and the ends of its 95 % confidence interval; infinite ends if there is a single value."""

    mean: float
    low: float
    high: float


def confidence_interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean over seeds.

    Examples
    --------
    >>> interval = confidence_interval([0.5, 0.6, 0.7])
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.352, 0.848)
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, float("-inf"), float("inf"))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half)


def proportion_interval(num_successes: int, num_trials: int) -> Interval:
    """Wilson's interval of the proportion of successes in one run of `num_trials` images."""
    result = stats.binomtest(num_successes, num_trials).proportion_ci(0.95, method="wilson")
    return Interval(num_successes / num_trials, float(result.low), float(result.high))
