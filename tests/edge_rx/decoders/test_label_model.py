"""The model of labels is the posterior of normal distributions, calibrated where it was fitted to few entries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from edge_rx.decoders.label_model import LabelModel
from trainer.links.retrieval import calibration_error

DIM, NUM_LABELS = 32, 40
NOISE_VARIANCES = (2.5, 0.5, 0.05)
"""Of a real at -7, 0 and 10 dB."""


def normal_labels(num_entries: int, seed: int, *, spread: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Signals around means that are the same for every seed, and the number of each one's label."""
    means = 0.35 * np.random.default_rng(100).standard_normal((NUM_LABELS, DIM))
    rng = np.random.default_rng([101, seed])
    labels = np.arange(num_entries) % NUM_LABELS
    return (means[labels] + spread * rng.standard_normal((num_entries, DIM))).astype(np.float32), labels


def received(signals: np.ndarray, variance: float) -> np.ndarray:
    noise = np.random.default_rng(102).standard_normal(signals.shape)
    return (signals + variance**0.5 * noise).astype(np.float32)


def closed_form(model: LabelModel, observed: np.ndarray, variance: float) -> np.ndarray:
    """Bayes' rule over normal densities."""
    axes = np.eye(len(model.variances)) if model.axes is None else model.axes.astype(np.float64)
    covariance = axes @ np.diag(model.variances + variance) @ axes.T
    densities = [stats.multivariate_normal(axes @ mean, covariance).logpdf(observed) for mean in model.means]
    joint = np.column_stack(densities) + model.log_shares
    return np.asarray(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))


@pytest.mark.parametrize("variance", NOISE_VARIANCES)
@pytest.mark.parametrize("has_codewords", [False, True])
def test_posterior_is_that_of_normal_distributions(variance: float, has_codewords: bool) -> None:
    signals, labels = normal_labels(300, 0)  # of which labels have 7 or 8
    model = (
        LabelModel.of_codewords(signals, labels, NUM_LABELS, unexplained=0.1)
        if has_codewords
        else replace(LabelModel.fitted(signals, labels, NUM_LABELS), temperatures=(1.0,) * 4)
    )
    observed = received(normal_labels(50, 1)[0], variance)
    found = model.log_posterior(observed, np.full(50, variance))
    np.testing.assert_allclose(found, closed_form(model, observed, variance), atol=2e-3)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1.0)


def test_fitted_means_and_shares_are_those_of_the_labels() -> None:
    signals, labels = normal_labels(300, 0)
    model = LabelModel.fitted(signals, labels, NUM_LABELS)
    assert model.axes is not None
    expected = [signals[labels == label].mean(axis=0) for label in range(NUM_LABELS)]
    np.testing.assert_allclose(model.means @ model.axes.T, expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(model.log_shares), np.bincount(labels) / 300)
    assert model.variances.mean() == pytest.approx(0.5**2, rel=0.1)


def test_codewords_differ_by_what_is_unexplained_too() -> None:
    signals, labels = normal_labels(4000, 0)
    model = LabelModel.of_codewords(signals, labels, NUM_LABELS, unexplained=0.1)
    np.testing.assert_allclose(model.variances, 0.5**2 + 0.1, rtol=0.1)
    assert set(model.temperatures) == {1.0}, "exact, so that nothing is to be made up for"


def test_noise_weighs_directions_alike() -> None:
    """Without it a direction in which labels scatter little decides; in much noise their distance alone does."""
    model = LabelModel(
        axes=None,
        means=np.array([[0.0, 0.0], [0.5, 3.0]], np.float32),
        variances=np.array([0.01, 10.0]),
        log_shares=np.log([0.5, 0.5]),
    )
    observed = np.array([[0.1, 2.5]] * 2, np.float32)
    quiet, noisy = model.log_posterior(observed, np.array([0.001, 10.0]))
    assert quiet.argmax() == 0
    assert noisy.argmax() == 1
    assert np.exp(quiet.max()) > np.exp(noisy.max()), "less is known in noise"


def test_each_image_has_its_own_noise() -> None:
    signals, labels = normal_labels(300, 0)
    model = LabelModel.fitted(signals, labels, NUM_LABELS)
    observed, variances = received(normal_labels(50, 1)[0], 0.5), np.geomspace(0.001, 10.0, 50)
    together = model.log_posterior(observed, variances)
    alone = [model.log_posterior(observed[[row]], variances[[row]])[0] for row in range(50)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("variance", NOISE_VARIANCES)
def test_few_entries_are_made_up_for(variance: float) -> None:
    """Six entries of each label: confidences agree with the share of right answers; as fitted, they are too large."""
    sent, sent_labels = normal_labels(2000, 50)
    observed, n0 = received(sent, variance), np.full(2000, variance)
    errors = []
    for seed in range(4):
        signals, labels = normal_labels(6 * NUM_LABELS, seed)
        fitted = LabelModel.fitted(signals, labels, NUM_LABELS)
        for model in (fitted, replace(fitted, temperatures=(1.0,) * 4)):
            posterior = np.exp(model.log_posterior(observed, n0))
            errors.append(calibration_error(posterior.max(axis=1), posterior.argmax(axis=1) == sent_labels))
    calibrated, as_fitted = np.reshape(errors, (4, 2)).mean(axis=0)
    assert calibrated <= 0.05 < as_fitted


def test_many_entries_need_nothing_made_up_for() -> None:
    signals, labels = normal_labels(100 * NUM_LABELS, 0)
    model = LabelModel.fitted(signals, labels, NUM_LABELS)
    assert min(model.temperatures) > 0.85


def test_labels_without_an_entry_are_never_probable() -> None:
    signals, labels = normal_labels(300, 0)
    model = LabelModel.fitted(signals, labels + (labels == NUM_LABELS - 1), NUM_LABELS + 1)
    posterior = np.exp(model.log_posterior(signals, np.full(300, 0.5)))
    assert (posterior[:, NUM_LABELS - 1] == 0.0).all()
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0)


def test_labels_of_one_entry_are_told_apart_by_distance() -> None:
    signals, _ = normal_labels(NUM_LABELS, 0)
    labels = np.arange(NUM_LABELS)
    for model in (
        LabelModel.fitted(signals, labels, NUM_LABELS),
        LabelModel.of_codewords(signals, labels, NUM_LABELS, unexplained=0.0),
    ):
        np.testing.assert_allclose(model.variances, 0.0, atol=1e-9)
        observed = received(signals, 0.05)
        posterior = np.exp(model.log_posterior(observed, np.full(NUM_LABELS, 0.05)))
        nearest = np.linalg.norm(observed[:, None] - signals, axis=2).argmin(axis=1)
        assert posterior.argmax(axis=1).tolist() == nearest.tolist()
        np.testing.assert_allclose(posterior.sum(axis=1), 1.0)


def test_one_label_is_certain() -> None:
    signals, _ = normal_labels(30, 0)
    model = LabelModel.fitted(signals, np.zeros(30, np.int64), 1)
    np.testing.assert_array_equal(model.log_posterior(signals, np.full(30, 0.5)), np.zeros((30, 1)))


@pytest.mark.parametrize("num_entries", [1, 2, 30])
def test_identical_signals_give_finite_probabilities(num_entries: int) -> None:
    signals = np.repeat(normal_labels(1, 0)[0], num_entries, axis=0)
    labels = np.arange(num_entries) % 3
    num_labels = min(3, num_entries)
    with np.errstate(all="raise", under="ignore"):
        model = LabelModel.fitted(signals, labels, num_labels)
        posterior = np.exp(model.log_posterior(signals, np.full(num_entries, 1e-6)))
    np.testing.assert_allclose(posterior, np.full((num_entries, num_labels), 1 / num_labels), atol=0.05)
