"""The confidence of an answer that a search among signals gives is the share of such answers that are right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.decoders.codeword_search import CodewordSearch
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.templates import SignalTemplates
from engines.models.entry_codebook import entry_codewords
from semlink.channel import ChannelModel, apply_channel, noise_variance
from semlink.iq import normalize_power, pair_latent
from semlink.rates import Rate, parse_rate
from tests.support.vectors import unit
from trainer.links.retrieval import calibration_error

NUM_ENTRIES, NUM_SENT = 3000, 4000
"""More entries than a search returns and than the sample of their signals holds."""
CONDITIONS = [("8", -4.0), ("16", -7.0), ("16", 0.0), ("32", -10.0), ("64", -13.0), ("64", -7.0)]
MOST_ERROR = 0.03
"""Of 4,000 answers; at the lower SNRs it is at least 0.04 for the probability among those that a search returns."""


def received(latent: np.ndarray, snr_db: float) -> tuple[np.ndarray, np.ndarray]:
    """Symbols of latents, each sent once through noise, and the noise variance of each."""
    sent = normalize_power(pair_latent(latent))
    symbols = apply_channel(sent, ChannelModel.AWGN, snr_db=snr_db, rng=np.random.default_rng(31)).symbols
    return symbols, np.full(len(symbols), noise_variance(snr_db))


def sent_entries(seed: int = 0) -> np.ndarray:
    return np.random.default_rng([32, seed]).integers(0, NUM_ENTRIES, NUM_SENT)


def with_errors(entries: np.ndarray, accuracies: np.ndarray) -> np.ndarray:
    """What images have that a transmitter decided for these entries: another one as often as it errs."""
    rng = np.random.default_rng(33)
    other = (entries + rng.integers(1, NUM_ENTRIES, len(entries))) % NUM_ENTRIES
    return np.where(rng.random(len(entries)) < accuracies[entries], entries, other)


@pytest.fixture(scope="module")
def templates() -> SignalTemplates:
    signals = np.random.default_rng(30).standard_normal((NUM_ENTRIES, 128)).astype(np.float32)
    return SignalTemplates.of_signals(signals, unit(signals), agreement=1.0)


@pytest.mark.parametrize(("num_symbols", "snr_db"), CONDITIONS)
class TestMapDetector:
    """Also where the search returns only a small part of the probability."""

    def test_of_entries(self, templates: SignalTemplates, num_symbols: str, snr_db: float) -> None:
        rate, entries = parse_rate(num_symbols), sent_entries()
        detector = MapDetector(templates, rate)
        asked = detector.queries(*received(templates.signals[entries][:, : rate.latent_dim], snr_db))
        answers = detector.match(asked)
        found = np.array([answer.entry_id for answer in answers])
        confidences = [answer.confidence for answer in answers]
        assert calibration_error(confidences, found == entries) <= MOST_ERROR
        np.testing.assert_allclose(detector.confidences(asked, found), confidences, rtol=1e-6)
        assert np.mean(detector.confidences(asked, (found + 1) % NUM_ENTRIES)) < 0.01

    def test_of_groups(self, templates: SignalTemplates, num_symbols: str, snr_db: float) -> None:
        """The answer is right if it is of the group that was sent."""
        rate, entries = parse_rate(num_symbols), sent_entries()
        groups = np.arange(NUM_ENTRIES) % 1000
        detector = MapDetector(replace(templates, groups=groups), rate)
        sent = templates.signals[entries][:, : rate.latent_dim]
        answers = detector.match(detector.queries(*received(sent, snr_db)))
        is_right = groups[[answer.entry_id for answer in answers]] == groups[entries]
        assert calibration_error([answer.confidence for answer in answers], is_right) <= MOST_ERROR

    def test_of_a_transmitter_that_errs(self, templates: SignalTemplates, num_symbols: str, snr_db: float) -> None:
        rate, entries = parse_rate(num_symbols), sent_entries()
        accuracies = np.random.default_rng(34).uniform(0.2, 1.0, NUM_ENTRIES).astype(np.float32)
        detector = MapDetector(templates, rate, accuracies=accuracies)
        sent = templates.signals[entries][:, : rate.latent_dim]
        answers = detector.match(detector.queries(*received(sent, snr_db)))
        is_right = with_errors(entries, accuracies) == [answer.entry_id for answer in answers]
        assert calibration_error([answer.confidence for answer in answers], is_right) <= MOST_ERROR


@pytest.mark.parametrize("has_errors", [False, True])
@pytest.mark.parametrize(("num_symbols", "snr_db"), CONDITIONS)
def test_codeword_search(num_symbols: str, snr_db: float, has_errors: bool) -> None:
    rate, entries = parse_rate(num_symbols), sent_entries(1)
    accuracies = np.random.default_rng(34).uniform(0.2, 1.0, NUM_ENTRIES).astype(np.float32)
    search = CodewordSearch(b"kb", NUM_ENTRIES, rate, accuracies=(lambda: accuracies) if has_errors else None)
    symbols, variances = received(entry_codewords(b"kb", entries, rate), snr_db)
    answers = search.match(search.queries(symbols, variances))
    meant = with_errors(entries, accuracies) if has_errors else entries
    is_right = meant == [answer.entry_id for answer in answers]
    assert calibration_error([answer.confidence for answer in answers], is_right) <= MOST_ERROR
    ranked = search.ranked(symbols[:20], variances[:20])
    assert [row.confidence for row in ranked] == pytest.approx([answer.confidence for answer in answers[:20]], rel=1e-4)


@pytest.mark.parametrize("rate", [parse_rate("4"), parse_rate("64")], ids=lambda rate: rate.name)
def test_accuracies_are_asked_for_by_the_first_answer(rate: Rate) -> None:
    """Receivers that never get such a frame need not measure them."""
    asked: list[str] = []

    def accuracies() -> np.ndarray:
        asked.append("accuracies")
        return np.full(NUM_ENTRIES, 0.5, np.float32)

    search = CodewordSearch(b"kb", NUM_ENTRIES, rate, accuracies=accuracies)
    query = search.queries(*received(np.ones((1, rate.latent_dim), np.float32), 10.0))
    assert not asked
    for _ in range(2):
        (answer,) = search.match(query)
        assert answer.confidence <= 0.5
    assert asked == ["accuracies"]
