"""Confidences in entries are calibrated by entries that are sent to the others."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.decoders.entry_calibration import EntryCalibration, Scales
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.templates import SignalTemplates
from semlink.channel import ChannelModel, apply_channel, noise_variance
from semlink.iq import normalize_power, pair_latent
from semlink.rates import parse_rate
from tests.support.retrieval import clustered
from trainer.links.retrieval import calibration_error

RATE = parse_rate("16")
NUM_ENTRIES, NUM_SENT = 1000, 3000
SOURCE = {"dim": RATE.latent_dim, "spread": 1.3}


def encode(features: np.ndarray) -> np.ndarray:
    """Plain analog."""
    return features * np.float32(RATE.latent_dim**0.5)


def detector_of(features: np.ndarray, calibration: EntryCalibration | None) -> MapDetector:
    templates = SignalTemplates.of_signals(encode(features), features, agreement=0.8)
    return MapDetector(templates, RATE, calibration=calibration)


@pytest.mark.parametrize("snr_db", [-7.0, 0.0])
def test_confidences_of_images_of_the_same_source(snr_db: float) -> None:
    """Without it the nearest entry is as probable as if images were like entries but for white noise."""
    features, _ = clustered(NUM_ENTRIES, seed=1, **SOURCE)
    sent, _ = clustered(NUM_SENT, seed=2, **SOURCE)
    nearest = (sent @ features.T).argmax(axis=1)
    symbols = normalize_power(pair_latent(encode(sent)))
    received = apply_channel(symbols, ChannelModel.AWGN, snr_db=snr_db, rng=np.random.default_rng(40)).symbols
    errors = []
    for calibration in (EntryCalibration.of(encode, features, [""] * NUM_ENTRIES), None):
        detector = detector_of(features, calibration)
        answers = detector.match(detector.queries(received, np.full(NUM_SENT, noise_variance(snr_db))))
        is_right = nearest == [answer.entry_id for answer in answers]
        errors.append(calibration_error([answer.confidence for answer in answers], is_right))
    calibrated, exact = errors
    assert calibrated <= 0.05
    assert calibrated < exact


def test_entries_are_answered_without_themselves() -> None:
    features, _ = clustered(NUM_ENTRIES, seed=1, **SOURCE)
    entries = np.arange(50)
    sent = normalize_power(pair_latent(encode(features[entries])))
    detector = detector_of(features, None)
    with_all = [answer.entry_id for answer in detector.match(detector.queries(sent, np.full(50, 1e-3)))]
    assert with_all == entries.tolist()
    reals = sent.view(np.float32).reshape(50, -1)
    answers, shares_at = detector.answers_without(reals, np.full(50, 1e-3), entries)
    assert (answers != entries).all()
    shares = shares_at(np.ones(50))
    assert ((shares > 0.0) & (shares <= 1.0)).all()


def test_entries_of_labels_that_no_other_has_are_not_sent() -> None:
    features, _ = clustered(30, seed=1, **SOURCE)
    labels = ["a"] * 10 + [f"label {entry}" for entry in range(10)] + [""] * 10
    assert EntryCalibration.of(encode, features, labels).entries.tolist() == list(range(10))


@pytest.mark.parametrize("num_entries", [1, 2, 9])
def test_few_entries_calibrate_nothing(num_entries: int) -> None:
    features, _ = clustered(num_entries, seed=1, **SOURCE)
    calibration = EntryCalibration.of(encode, features, [""] * num_entries)
    scales = calibration.scales(detector_of(features, calibration), RATE.latent_dim)
    assert [found.tolist() for found in scales.at(np.array([0.5]))] == [[1.0], [1.0]]


def test_scales_between_noise_variances() -> None:
    scales = Scales(np.array([0.1, 0.3, 0.5, 1.0]), np.array([0.2, 0.4, 0.6, 0.8]))
    temperatures, factors = scales.at(np.array([100.0, 2.5, (2.5 * 0.5) ** 0.5, 0.005, 1e-9]))
    np.testing.assert_allclose(temperatures, [0.1, 0.1, 0.2, 1.0, 1.0])
    np.testing.assert_allclose(factors, [0.2, 0.2, 0.3, 0.8, 0.8])
