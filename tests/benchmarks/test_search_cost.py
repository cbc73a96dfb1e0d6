"""Cost of a search among signals."""

from __future__ import annotations

from benchmarks.search_cost import label_search_cost, signal_search_cost


def test_every_signal_is_read_with_its_energy_and_prior() -> None:
    assert signal_search_cost(5_000, 128) == {"bytes_moved": 5_000 * 130 * 4, "operations": 2 * 5_000 * 130}


def test_the_signals_of_one_label_are_read_after_the_means_of_all() -> None:
    cost = label_search_cost(5_000, 100, 128, has_axes=False)
    assert cost == {"bytes_moved": 4 * 128 * (100 + 50), "operations": 2 * 128 * (2 * 100 + 50)}


def test_a_covariance_has_axes_to_rotate_to() -> None:
    costs = [label_search_cost(5_000, 100, 128, has_axes=has_axes) for has_axes in (False, True)]
    assert costs[1]["bytes_moved"] - costs[0]["bytes_moved"] == 4 * 128**2
    assert costs[1]["operations"] - costs[0]["operations"] == 2 * 128**2
