"""Least memory traffic and arithmetic of one frame's search among signals, under the names that `Stage` has."""

from __future__ import annotations

__all__ = ["label_search_cost", "signal_search_cost"]

_REAL_BYTES = 4


def signal_search_cost(num_signals: int, dim: int) -> dict[str, float]:
    """Of an exact search: every signal is read and multiplied, and two more numbers of each, its energy and prior.

    Parameters
    ----------
    dim : reals of a signal
    """
    num_reals = num_signals * (dim + 2)
    return {"bytes_moved": float(_REAL_BYTES * num_reals), "operations": 2.0 * num_reals}


def label_search_cost(num_entries: int, num_labels: int, dim: int, *, has_axes: bool) -> dict[str, float]:
    """Of a search in two steps: every label's mean, then the signals of one label's entries.

    Means are multiplied with the weighted observation, and their squares with the weights.

    Parameters
    ----------
    dim : reals of a signal
    has_axes : whether observations are rotated to the axes of a covariance
    """
    num_rotated, num_means, num_signals = (dim if has_axes else 0), num_labels, num_entries // num_labels
    return {
        "bytes_moved": float(_REAL_BYTES * dim * (num_rotated + num_means + num_signals)),
        "operations": 2.0 * dim * (num_rotated + 2 * num_means + num_signals),
    }
