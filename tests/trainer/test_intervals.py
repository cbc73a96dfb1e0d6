"""Confidence intervals against published values."""

from __future__ import annotations

import math

import pytest

from trainer.intervals import confidence_interval, proportion_interval


def test_mean_has_students_t_interval() -> None:
    interval = confidence_interval([0.5, 0.6, 0.7])
    # Student's t with two degrees of freedom: 4.303 standard errors.
    assert interval.high - interval.mean == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    assert interval.mean - interval.low == pytest.approx(interval.high - interval.mean)


def test_a_single_value_has_an_infinite_interval() -> None:
    interval = confidence_interval([0.5])
    assert (interval.mean, interval.low, interval.high) == (0.5, -math.inf, math.inf)


def test_proportion_has_wilsons_interval() -> None:
    interval = proportion_interval(8, 10)
    assert (interval.low, interval.high) == (pytest.approx(0.4902, abs=1e-3), pytest.approx(0.9433, abs=1e-3))
