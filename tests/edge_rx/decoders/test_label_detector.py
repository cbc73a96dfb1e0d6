"""The label by its probability, then the entry within it; each answer with the probability that it is right."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.decoders.label_detector import LabelDetector, Labelling
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.templates import SignalTemplates
from semlink.channel import ChannelModel, apply_channel, noise_variance
from semlink.errors import DecodeError
from semlink.iq import Symbols, normalize_power, pair_latent
from semlink.rates import RATES, Rate, parse_rate
from tests.support.vectors import unit
from trainer.links.retrieval import calibration_error

RATE = parse_rate("16")
DIM = RATE.latent_dim
QUIET_DB = 30.0


def templates_of(signals: np.ndarray) -> SignalTemplates:
    """Of entries that are sent as they are."""
    return SignalTemplates.of_signals(signals, unit(signals), agreement=1.0)


def detector_of(signals: np.ndarray, labels: list[str]) -> LabelDetector:
    labelling = Labelling.of_labels(labels)
    assert labelling is not None
    return LabelDetector.of_rates(templates_of(signals), labelling, [RATE])[RATE]


def codeword_detector(
    signals: np.ndarray,
    groups: np.ndarray,
    *,
    accuracies: np.ndarray | None = None,
    is_label: np.ndarray | None = None,
) -> LabelDetector:
    """Of labels whose signals have a codeword in common."""
    num_labels = int(groups.max()) + 1
    labelling = Labelling(
        groups,
        np.ones(num_labels, np.float32) if accuracies is None else accuracies.astype(np.float32),
        np.ones(num_labels, np.bool_) if is_label is None else is_label,
        has_codewords=True,
    )
    return LabelDetector.of_rates(templates_of(signals), labelling, [RATE])[RATE]


def queries(detector: LabelDetector | MapDetector, signals: np.ndarray, snr_db: float, *, seed: int = 0) -> np.ndarray:
    """Of signals, each sent once through noise."""
    return detector.queries(*transmitted(signals, snr_db, seed=seed))


def transmitted(signals: np.ndarray, snr_db: float, *, seed: int = 0) -> tuple[Symbols, np.ndarray]:
    sent = normalize_power(pair_latent(signals.astype(np.float32)))
    rng = np.random.default_rng([9, seed])
    return apply_channel(sent, ChannelModel.AWGN, snr_db=snr_db, rng=rng).symbols, np.full(
        len(sent), noise_variance(snr_db)
    )


def clusters(num_labels: int, num_each: int, *, spread: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Signals around one point for each label, which are the same for every seed, and the number of each label."""
    points = np.random.default_rng(20).standard_normal((num_labels, DIM))
    labels = np.repeat(np.arange(num_labels), num_each)
    scatter = np.random.default_rng([21, seed]).standard_normal((len(labels), DIM))
    return (points[labels] + spread * scatter).astype(np.float32), labels


def names(labels: np.ndarray) -> list[str]:
    return [f"label {label}" for label in labels]


def test_most_probable_label_is_answered_and_not_the_nearest_entry() -> None:
    """An entry amid those of another label is nearest to itself, and says little about an image there."""
    signals, labels = clusters(4, 20)
    labels[25] = 3
    nearest = MapDetector(templates_of(signals), RATE, answer="nearest")
    by_label = detector_of(signals, names(labels))
    (entry,) = nearest.match(queries(nearest, signals[[25]], QUIET_DB))
    assert entry.entry_id == 25
    (answer,) = by_label.match(queries(by_label, signals[[25]], QUIET_DB))
    assert labels[answer.entry_id] == 1
    assert answer.confidence > 0.8


def test_labels_are_answered_more_often_than_by_the_nearest_entry() -> None:
    signals, labels = clusters(20, 20, spread=1.2)
    sent, sent_labels = clusters(20, 50, spread=1.2, seed=1)
    right = {}
    detectors: dict[str, LabelDetector | MapDetector] = {
        "label": detector_of(signals, names(labels)),
        "nearest": MapDetector(templates_of(signals), RATE, answer="nearest"),
    }
    for name, detector in detectors.items():
        answers = detector.match(queries(detector, sent, 0.0))
        right[name] = np.mean(labels[[answer.entry_id for answer in answers]] == sent_labels)
    assert right["label"] > right["nearest"] + 0.1


def test_entry_is_the_one_of_the_label_that_is_received() -> None:
    signals, labels = clusters(5, 12)
    detector = detector_of(signals, names(labels))
    found = [answer.entry_id for answer in detector.match(queries(detector, signals, QUIET_DB))]
    assert found == list(range(len(signals)))


def test_entry_is_the_one_that_the_likely_ones_of_the_label_resemble() -> None:
    """In noise that leaves the label's entries about equally likely; computed directly."""
    signals, labels = clusters(2, 30, spread=0.2)
    detector = detector_of(signals, names(labels))
    features = unit(signals)
    for answer in detector.match(queries(detector, signals[:10], -20.0)):
        own = np.flatnonzero(labels == labels[answer.entry_id])
        similarity = features[own] @ features[own].mean(axis=0)
        assert similarity[own == answer.entry_id] > np.quantile(similarity, 0.8)


def test_first_of_the_ranked_is_the_answer() -> None:
    signals, labels = clusters(6, 80)
    detector = detector_of(signals, names(labels))
    symbols, variances = transmitted(signals[::10], -4.0)
    answers = detector.match(detector.queries(symbols, variances))
    for answer, ranked in zip(answers, detector.ranked(symbols, variances), strict=True):
        assert (ranked.entries[0], ranked.confidence) == (answer.entry_id, answer.confidence)
        assert len({*ranked.entries.tolist()}) == len(ranked.entries) == 64
        assert {*labels[ranked.entries].tolist()} == {labels[answer.entry_id]}
        assert ranked.probabilities.sum() == pytest.approx(1.0, abs=1e-5)


def test_entries_without_a_label_are_answered_with_themselves() -> None:
    signals, labels = clusters(5, 12)
    alone = np.random.default_rng(3).standard_normal((8, DIM)).astype(np.float32)
    everything = np.concatenate([alone[:4], signals, alone[4:]])
    detector = detector_of(everything, [""] * 4 + names(labels) + [""] * 4)
    answers = detector.match(queries(detector, alone, QUIET_DB))
    assert [answer.entry_id for answer in answers] == [0, 1, 2, 3, 64, 65, 66, 67]
    answers = detector.match(queries(detector, signals, QUIET_DB))
    assert [answer.entry_id for answer in answers] == list(range(4, 64))


@pytest.mark.parametrize(("is_label", "low", "high"), [(True, 0.99, 1.0), (False, 0.3, 0.51)])
def test_confidence_is_that_of_the_label_or_else_of_the_entry(is_label: bool, low: float, high: float) -> None:
    """Two entries with the same signal are of one label for certain, and each is the entry with one half."""
    codewords = clusters(3, 1)[0]
    groups = np.array([0, 0, 1, 1, 2, 2])
    detector = codeword_detector(codewords[groups], groups, is_label=np.array([True, is_label, True]))
    (answer,) = detector.match(queries(detector, codewords[[1]], QUIET_DB))
    assert groups[answer.entry_id] == 1
    assert low <= answer.confidence <= high


def test_errors_of_the_transmitter_are_a_part_of_the_confidence() -> None:
    """Without noise it is the accuracy of the label's decisions."""
    codewords, groups = clusters(5, 1)
    accuracies = np.array([0.9, 0.7, 0.1, 0.95, 1.0])  # one below those of the other labels, if it is wrong
    detector = codeword_detector(codewords, groups, accuracies=accuracies)
    answers = detector.match(queries(detector, codewords, QUIET_DB))
    assert [answer.entry_id for answer in answers] == groups.tolist()
    np.testing.assert_allclose([answer.confidence for answer in answers], accuracies, atol=1e-4)


@pytest.mark.parametrize("snr_db", [-12.0, -7.0, 0.0])
def test_confidences_are_calibrated(snr_db: float) -> None:
    """Transmitters that err, and noise."""
    num_labels, num_sent = 200, 4000
    codewords, groups = clusters(num_labels, 1)
    rng = np.random.default_rng(4)
    accuracies = rng.uniform(0.4, 1.0, num_labels)
    decided = rng.integers(num_labels, size=num_sent)
    other = (decided + rng.integers(1, num_labels, num_sent)) % num_labels
    meant = np.where(rng.random(num_sent) < accuracies[decided], decided, other)
    detector = codeword_detector(codewords, groups, accuracies=accuracies)
    answers = detector.match(queries(detector, codewords[decided], snr_db))
    is_right = meant == [answer.entry_id for answer in answers]
    assert calibration_error([answer.confidence for answer in answers], is_right) <= 0.05


def test_confidences_of_other_answers() -> None:
    signals, labels = clusters(6, 10, spread=1.5)
    detector = detector_of(signals, names(labels))
    asked = queries(detector, signals, -4.0)
    answers = detector.match(asked)
    own = detector.confidences(asked, np.array([answer.entry_id for answer in answers]))
    np.testing.assert_allclose(own, [answer.confidence for answer in answers], rtol=1e-6)
    of_labels = np.array([detector.confidences(asked, np.full(len(asked), 10 * label)) for label in range(6)])
    np.testing.assert_allclose(of_labels.sum(axis=0), 1.0, rtol=1e-6)
    np.testing.assert_allclose(of_labels.max(axis=0), own, rtol=1e-6)
    same_label = detector.confidences(asked, np.full(len(asked), 7))
    np.testing.assert_array_equal(same_label, of_labels[0])


def test_labels_without_an_entry_or_without_an_accuracy_are_never_answered_in_vain() -> None:
    """Accuracies of zero, and a first label that the knowledge base no longer has, change no sure decision."""
    signals, labels = clusters(4, 10)
    detector = codeword_detector(signals[10:], labels[10:], accuracies=np.zeros(4))
    found = detector.match(queries(detector, signals[10:], QUIET_DB))
    assert [labels[10 + answer.entry_id] for answer in found] == labels[10:].tolist()


def test_entries_that_are_no_answer_are_never_answered() -> None:
    codewords = clusters(3, 1)[0]
    of_entries = np.array([0, 1, 2, 0, 1, 2])
    signals = codewords[of_entries] + 0.3 * np.random.default_rng(5).standard_normal((6, DIM)).astype(np.float32)
    groups = np.array([0, 1, 2, -1, 1, -1])
    detector = codeword_detector(signals, groups)
    asked = queries(detector, signals, QUIET_DB)
    assert [answer.entry_id for answer in detector.match(asked)] == [0, 1, 2, 0, 4, 2]
    for ranked in detector.ranked(*transmitted(signals, -10.0)):
        assert not {3, 5} & {*ranked.entries.tolist()}
    confidences = detector.confidences(asked, np.arange(6))
    assert confidences[3] == confidences[5] == 0.0
    assert min(confidences[entry] for entry in (0, 1, 2, 4)) > 0.9


def test_all_rates_share_one_array_of_signals() -> None:
    width = RATES[-1].latent_dim
    signals = np.random.default_rng(6).standard_normal((400, width)).astype(np.float32)
    labelling = Labelling.of_labels(names(np.arange(400) % 20))
    assert labelling is not None
    templates = templates_of(signals)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        detectors = LabelDetector.of_rates(templates, labelling, RATES)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert list(detectors) == list(RATES)
    assert signals.nbytes <= after - before < 1.2 * signals.nbytes, "one copy, in the order of the labels"


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: rate.name)
def test_every_rate_finds_the_label(rate: Rate) -> None:
    """Prefixes of the longest signals, and repetitions of signals that are shorter than the rate."""
    signals = clusters(5, 12, spread=0.1)[0]
    labels = np.repeat(np.arange(5), 12)
    labelling = Labelling.of_labels(names(labels))
    assert labelling is not None
    detector = LabelDetector.of_rates(templates_of(signals), labelling, RATES)[rate]
    repeated = np.tile(signals, -(-rate.latent_dim // DIM))[:, : rate.latent_dim]
    answers = detector.match(queries(detector, repeated, 20.0))
    assert labels[[answer.entry_id for answer in answers]].tolist() == labels.tolist()
    for measure in (
        np.array([answer.score for answer in answers]),
        np.array([answer.confidence for answer in answers]),
    ):
        assert measure.mean() > 0.9
        assert measure.max() <= 1.0


@pytest.mark.parametrize(
    ("labels", "has_model"),
    [
        (["", "", ""], False),
        (["a", "b", "c"], False),
        (["a", "a", "b"], True),
        (["a", "b", "c", "d", "d"], False),
        (["a", "b", "c", "c", ""], True),
        (["a"], False),
        (["a", "a"], True),
        ([f"label {entry // 2}" for entry in range(5000)], False),
    ],
)
def test_a_model_needs_entries_that_share_their_labels(labels: list[str], has_model: bool) -> None:
    labelling = Labelling.of_labels(labels)
    assert (labelling is not None) is has_model
    if labelling is not None:
        assert labelling.is_label.tolist() == [True] * len({*labels} - {""}) + [False] * labels.count("")


def test_symbols_of_another_rate_are_refused() -> None:
    signals, labels = clusters(2, 3)
    detector = detector_of(signals, names(labels))
    with pytest.raises(DecodeError, match="symbols do not fit"):
        detector.queries(np.ones((1, 15), np.complex64), np.ones(1))
