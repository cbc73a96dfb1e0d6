"""Points of digital radios."""

from __future__ import annotations

import numpy as np
import pytest

from semlink.channel import complex_normal
from semlink.constellation import Constellation
from semlink.iq import normalize_power

SYMBOLS = normalize_power(complex_normal((20, 256), np.random.default_rng(0)))


@pytest.mark.parametrize("constellation", Constellation)
def test_points_are_few_and_of_unit_power(constellation: Constellation) -> None:
    points = constellation.nearest(SYMBOLS)
    np.testing.assert_allclose(np.mean(np.abs(points) ** 2, axis=-1), 1.0, rtol=1e-5)
    for row in points:
        levels = np.unique(np.concatenate([row.real, row.imag]).round(4))
        assert len(levels) <= constellation.levels_per_axis
        steps = np.diff(levels)
        np.testing.assert_allclose(steps / steps.min(), np.round(steps / steps.min()), atol=1e-2)


def test_more_points_lose_less() -> None:
    errors = [np.mean(np.abs(constellation.nearest(SYMBOLS) - SYMBOLS) ** 2) for constellation in Constellation]
    assert errors[0] > 3 * errors[1] > 6 * errors[2]


def test_qpsk_keeps_signs() -> None:
    points = Constellation.QPSK.nearest(SYMBOLS)
    np.testing.assert_array_equal(np.sign(points.real), np.sign(SYMBOLS.real))
    np.testing.assert_allclose(np.abs(points), 1.0, rtol=1e-6)


def test_each_transmission_by_itself() -> None:
    loud = SYMBOLS * np.linspace(1, 3, 20)[:, None].astype(np.float32)
    together = Constellation.QAM16.nearest(loud)
    np.testing.assert_array_equal(together[3], Constellation.QAM16.nearest(loud[3:4])[0])
