"""Noise powers at which a receiver calibrates itself, and what holds between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["VARIANCES", "between"]

VARIANCES = (2.5, 0.5, 0.05, 0.005)
"""Noise variances of a real at -7, 0, 10 and 20 dB."""


def between(variance: npt.NDArray[np.float64], values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Interpolate what was chosen at each of `VARIANCES`, in decibels; beyond them the nearest one holds.

    Parameters
    ----------
    variance : (batch,) noise variance of a real

    Returns
    -------
    values : (batch,)
    """
    return np.asarray(np.interp(-np.log(variance), -np.log(VARIANCES), values))
