"""The sum over all signals: exact for few of them, without bias for many."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rx.decoders.total_probability import SignalSample, log_sum

NUM_FOUND = 64


def numbered(num_signals: int) -> tuple[SignalSample, np.ndarray]:
    """A sample of signals that are their own numbers, and the numbers of those in the sample."""
    sample = SignalSample(np.arange(num_signals, dtype=np.float32)[:, None])
    return sample, sample.vectors[:, 0].astype(np.int64)


def found(log_likelihoods: np.ndarray, num_found: int = NUM_FOUND) -> tuple[np.ndarray, np.ndarray]:
    """What an exact search returns: the largest of each row."""
    ids = np.argsort(-log_likelihoods, axis=1)[:, :num_found]
    return ids, np.take_along_axis(log_likelihoods, ids, axis=1)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("num_signals", [1, 2, 63, 64, 65, 500, 1024])
def test_few_signals_are_summed_exactly(num_signals: int, scale: float) -> None:
    sample, ids = numbered(num_signals)
    assert ids.tolist() == list(range(num_signals))
    log_likelihoods = scale * np.random.default_rng(0).standard_normal((20, num_signals))
    total = sample.log_total(log_likelihoods, *found(log_likelihoods))
    np.testing.assert_allclose(total, np.logaddexp.reduce(log_likelihoods, axis=1), atol=1e-9)


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_many_signals_are_estimated_without_bias(scale: float) -> None:
    sample, ids = numbered(20_000)
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(300):
        log_likelihoods = scale * rng.standard_normal((1, 20_000))
        (estimate,) = sample.log_total(log_likelihoods[:, ids], *found(log_likelihoods))
        ratios.append(np.exp(estimate - np.logaddexp.reduce(log_likelihoods[0])))
    standard_error = np.std(ratios) / len(ratios) ** 0.5
    assert np.mean(ratios) == pytest.approx(1.0, abs=4 * standard_error)
    assert standard_error < 0.02


def test_sample_is_spread_over_all_signals() -> None:
    _, ids = numbered(100_000)
    assert len(ids) == 1024
    assert (ids[0], ids[-1]) == (0, 99_999)
    assert set(np.diff(ids)) == {97, 98}


def test_signals_that_were_found_are_not_counted_again() -> None:
    """A likely signal in the sample would otherwise stand for all that are not."""
    sample, ids = numbered(20_000)
    log_likelihoods = np.full((1, 20_000), -5.0)
    log_likelihoods[0, ids[10]] = 12.0
    (total,) = sample.log_total(log_likelihoods[:, ids], *found(log_likelihoods))
    assert total == pytest.approx(np.logaddexp(12.0, -5.0 + np.log(19_999)), abs=1e-6)


def test_no_other_signal_is_more_likely_than_those_found() -> None:
    """Whatever the rounding of a search in half precision is."""
    sample, ids = numbered(2000)
    log_likelihoods = np.zeros((1, 2000))
    found_ids, values = found(log_likelihoods)
    (total,) = sample.log_total(log_likelihoods[:, ids] + 3.0, found_ids, values)
    assert total == pytest.approx(np.log(2000), abs=1e-6)


def test_signals_that_are_left_out_are_missing_alone() -> None:
    """Of those found; the others count as before."""
    sample, ids = numbered(5000)
    log_likelihoods = np.random.default_rng(3).standard_normal((20, 5000))
    found_ids, values = found(log_likelihoods)
    before = sample.log_total(log_likelihoods[:, ids], found_ids, values)
    left_out = values.copy()
    left_out[:, ::8] = -np.inf
    after = sample.log_total(log_likelihoods[:, ids], found_ids, left_out)
    np.testing.assert_allclose(np.exp(before) - np.exp(after), np.exp(values[:, ::8]).sum(axis=1), rtol=1e-9)


def test_images_do_not_depend_on_their_batch() -> None:
    sample, ids = numbered(5000)
    log_likelihoods = np.random.default_rng(2).standard_normal((30, 5000)) * np.geomspace(0.1, 100.0, 30)[:, None]
    found_ids, values = found(log_likelihoods)
    together = sample.log_total(log_likelihoods[:, ids], found_ids, values)
    alone = [sample.log_total(log_likelihoods[[row]][:, ids], found_ids[[row]], values[[row]])[0] for row in range(30)]
    np.testing.assert_allclose(together, alone)


def test_sums_of_any_size_are_finite() -> None:
    rows = np.array([[1e5, 1e5], [-1e5, -1e5], [0.0, -np.inf]], np.float32)
    np.testing.assert_allclose(log_sum(rows), [1e5 + np.log(2), -1e5 + np.log(2), 0.0])
    assert log_sum(np.full((1, 3), -np.inf)) == -np.inf
