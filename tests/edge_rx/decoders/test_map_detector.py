"""The search over signals is the maximum a posteriori detector."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.decoders.codeword_search import CodewordSearch
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.templates import SignalPriors, SignalTemplates
from edge_rx.kb.gpu_search import GpuSearch, SearchPrecision
from edge_rx.noise import NoiseEstimator, equalize_and_estimate
from engines.models.codebook import Codebook
from semlink.channel import ChannelModel, apply_channel, noise_variance
from semlink.errors import DecodeError, EngineError, KnowledgeBaseError
from semlink.iq import Symbols, normalize_power, pair_latent
from semlink.rates import RATES, Rate, parse_rate
from tests.support.recording_faiss import RecordingFaiss
from tests.support.vectors import unit

DIM, CELLS, ENTRIES = 32, 12, 40


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    rng = np.random.default_rng(0)
    centroids = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0][:CELLS].astype(np.float32)
    return Codebook(
        mean=np.zeros(DIM, np.float32),
        projection=np.linalg.qr(rng.standard_normal((DIM, DIM)))[0].astype(np.float32),
        centroids=centroids,
        codewords=rng.choice(np.array([-1, 1], np.int8), (CELLS, DIM)),
        cell_shares=np.full(CELLS, 1 / CELLS, np.float32),
        energy_score_threshold=8.0,
        digital_power_share=0.8,
        high_snr_digital_power_share=0.5,
        analog_scale=DIM**0.5,
    )


@pytest.fixture(scope="module")
def entries(codebook: Codebook) -> np.ndarray:
    """Half of them near the cells, half of them anywhere."""
    rng = np.random.default_rng(1)
    near = codebook.centroids[rng.integers(0, CELLS, ENTRIES // 2)]
    features = np.concatenate([near, np.zeros((ENTRIES // 2, DIM))]) + 0.15 * rng.standard_normal((ENTRIES, DIM))
    return unit(features)


def symbols_of(codebook: Codebook, features: np.ndarray, rate: Rate) -> Symbols:
    return normalize_power(pair_latent(codebook.latent(features)[:, : rate.latent_dim]))


@pytest.mark.parametrize("rate", RATES[2:], ids=lambda rate: str(rate.num_symbols))
def test_entries_that_are_sent_are_found(codebook: Codebook, entries: np.ndarray, rate: Rate) -> None:
    rng = np.random.default_rng(2)
    observation = apply_channel(symbols_of(codebook, entries, rate), ChannelModel.AWGN, snr_db=20.0, rng=rng).symbols
    found = MapDetector(SignalTemplates.of(codebook, entries), rate).ranked(
        observation, np.full(len(observation), noise_variance(20.0))
    )
    assert all(len(set(row.entries)) == len(row.entries) == len(row.probabilities) for row in found)
    np.testing.assert_allclose([row.probabilities.sum() for row in found], 1.0, atol=1e-5)
    assert np.mean([row.entries[0] for row in found] == np.arange(ENTRIES)) > 0.9


def test_score_is_the_log_likelihood(codebook: Codebook, entries: np.ndarray) -> None:
    """Computed directly, from the Gaussian density of the noise and the priors."""
    rate, n0 = parse_rate("16"), 0.5
    priors = SignalPriors(codeword_prior=0.6, entries_per_cell=1, sharpness=30.0, agreement=0.8)
    rng = np.random.default_rng(3)
    observation = apply_channel(symbols_of(codebook, entries[:1], rate), ChannelModel.AWGN, snr_db=3.0, rng=rng).symbols
    signals: dict[object, tuple[np.ndarray, float]] = {}
    directions = codebook.directions(entries)
    analog = codebook.analog(directions)
    for entry in range(ENTRIES):
        signals["alone", entry] = (0.8 * normalize_power(pair_latent(analog[entry])), 0.4 / ENTRIES)
    nearest = (codebook.centroids @ directions.T).argmax(axis=1)
    for cell, entry in enumerate(nearest):
        code = codebook.superpose(codebook.codewords[cell], 0.8 * analog[entry])
        signals[cell, entry] = (normalize_power(pair_latent(code)), 0.6 / CELLS)
    variance = n0 / 2 + (1 - 0.8**2) / 2
    expected = sorted(
        (
            -np.sum(np.abs(observation[0] - signal) ** 2) / (2 * variance) + np.log(prior)
            for signal, prior in signals.values()
        ),
        reverse=True,
    )  # fmt: skip
    search = MapDetector(SignalTemplates.of(codebook, entries, priors), rate)
    _, scores = search.top_hypotheses(search.queries(observation, np.array([n0])), num_matches=10**6)
    # Up to the one constant that every key shares.
    np.testing.assert_allclose(np.diff(scores[0]), np.diff(expected), atol=2e-3)


def test_code_without_cells_has_one_signal_for_each_entry(codebook: Codebook, entries: np.ndarray) -> None:
    """The signals of images that a code with cells sends without a codeword, equally probable."""
    alone = Codebook.without_cells(codebook.mean, codebook.projection, analog_scale=codebook.analog_scale)
    templates, of_cells = SignalTemplates.of(alone, entries), SignalTemplates.of(codebook, entries)
    np.testing.assert_array_equal(templates.signals, of_cells.signals[-ENTRIES:])
    np.testing.assert_array_equal(templates.entries, np.arange(ENTRIES))
    np.testing.assert_allclose(np.exp(templates.log_priors), 1 / ENTRIES)
    rate = parse_rate("16")
    assert templates.unexplained(rate.latent_dim) == of_cells.unexplained(rate.latent_dim)
    np.testing.assert_array_equal(templates.scale(rate.latent_dim), of_cells.scale(rate.latent_dim)[-ENTRIES:])
    observation = symbols_of(alone, entries, rate)
    found = MapDetector(templates, rate).ranked(observation, np.full(ENTRIES, noise_variance(20.0)))
    assert [row.entries[0] for row in found] == list(range(ENTRIES))


def test_noise_weighs_the_priors(codebook: Codebook, entries: np.ndarray) -> None:
    """At a very low SNR the match is the entry of the highest prior."""
    rate = parse_rate("16")
    search = MapDetector(SignalTemplates.of(codebook, entries, SignalPriors(codeword_prior=0.999)), rate)
    rng = np.random.default_rng(4)
    noise = apply_channel(np.zeros((50, 16), np.complex64), ChannelModel.AWGN, snr_db=-30.0, rng=rng).symbols
    deaf = search.ranked(noise, np.full(50, noise_variance(-30.0)))
    nearest = np.argsort(-(codebook.centroids @ codebook.directions(entries).T), axis=1)[:, :4]
    assert {row.entries[0] for row in deaf} <= set(nearest.ravel())


def test_what_the_likely_ones_resemble_is_the_answer(codebook: Codebook, entries: np.ndarray) -> None:
    """At a very low SNR the match is the one of minimum Bayes risk under the prior, computed directly."""
    rate, n0 = parse_rate("16"), noise_variance(-30.0)
    search = MapDetector(SignalTemplates.of(codebook, entries), rate)
    rng = np.random.default_rng(6)
    noise = apply_channel(np.zeros((20, 16), np.complex64), ChannelModel.AWGN, snr_db=-30.0, rng=rng).symbols
    n0s = np.full(20, n0)
    signals, log_likelihoods = search.top_hypotheses(search.queries(noise, n0s), num_matches=64)
    candidates = SignalTemplates.of(codebook, entries).entries[signals]
    directions = codebook.directions(entries)
    ranked = search.ranked(noise, n0s)
    for image in range(20):
        probability = np.exp(log_likelihoods[image].astype(np.float64))
        meant = probability / probability.sum() @ directions[candidates[image]]
        best = candidates[image][(directions[candidates[image]] @ meant).argmax()]
        assert ranked[image].entries[0] == best
        assert search.match(search.queries(noise[image : image + 1], n0s[:1]))[0][0] == best
        by_entry = np.bincount(candidates[image], probability / probability.sum(), minlength=ENTRIES)
        assert sorted(ranked[image].entries) == np.flatnonzero(by_entry).tolist()
        np.testing.assert_allclose(ranked[image].probabilities, by_entry[ranked[image].entries], rtol=1e-4)


def test_answer_is_of_the_most_probable_group() -> None:
    """Which two entries may have together, of which neither is the most probable one."""
    signals = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0][:4].astype(np.float32) * 2
    templates = SignalTemplates(
        signals=signals,
        correlation=np.ones(4, np.float32),
        entries=np.arange(4),
        similarity=np.ones(4, np.float32),
        log_priors=np.full(4, -np.log(4)),
        residual_variance=0.0,
        vectors=signals,
        groups=np.array([0, 1, 1, 2]),
    )
    rate = parse_rate("4")
    received = pair_latent((np.array([[0.55, 0.5, 0.45, -0.5]]) @ signals).astype(np.float32))
    by_group, by_entry = (MapDetector(each, rate) for each in (templates, replace(templates, groups=None)))
    queries = by_entry.queries(received, np.array([4.0]))
    assert by_entry.match(queries)[0][0] == 0
    assert by_group.match(queries)[0][0] == 1, "the more probable one of the group"
    (ranked,) = by_group.ranked(received, np.array([4.0]))
    assert ranked.entries[:2].tolist() == [1, 2]
    assert by_group.match(by_group.queries(received, np.array([0.05])))[0][0] == 0, "with little noise"


def test_images_do_not_depend_on_their_batch(codebook: Codebook, entries: np.ndarray) -> None:
    rate = parse_rate("64")
    search = MapDetector(SignalTemplates.of(codebook, entries), rate)
    observation = symbols_of(codebook, entries, rate)
    noise = np.linspace(0.1, 1.0, ENTRIES)
    together = [row.entries[0] for row in search.ranked(observation, noise)]
    alone = [search.match(search.queries(observation[i : i + 1], noise[i : i + 1]))[0][0] for i in range(ENTRIES)]
    np.testing.assert_array_equal(together, alone)


def test_knowledge_base_of_one_image_answers_with_it(codebook: Codebook, entries: np.ndarray) -> None:
    rate = parse_rate("4")
    found = MapDetector(SignalTemplates.of(codebook, entries[:1]), rate).ranked(
        symbols_of(codebook, entries, rate), np.full(ENTRIES, 0.1)
    )
    assert [row.entries.tolist() for row in found] == [[0]] * ENTRIES


@pytest.mark.parametrize(
    ("symbols", "noise"),
    [
        (np.ones((2, 15), np.complex64), np.ones(2)),
        (np.ones((2, 16), np.complex64), np.ones(3)),
        (np.full((1, 16), np.nan, np.complex64), np.ones(1)),
        (np.ones((1, 16), np.complex64), np.array([np.inf])),
        (np.ones((1, 16), np.complex64), np.zeros(1)),
    ],
)
def test_what_cannot_be_weighed_is_refused(
    codebook: Codebook, entries: np.ndarray, symbols: np.ndarray, noise: np.ndarray
) -> None:
    rate = parse_rate("16")
    for search in (MapDetector(SignalTemplates.of(codebook, entries), rate), CodewordSearch(b"kb", ENTRIES, rate)):
        with pytest.raises(DecodeError, match="symbols"):
            search.ranked(symbols, noise)


def test_fade_to_nothing_is_answered_all_the_same(codebook: Codebook, entries: np.ndarray) -> None:
    rate, estimator = parse_rate("16"), NoiseEstimator()
    estimator.update(5.0)
    observation = np.zeros(24, np.complex64)
    observation[8:] = symbols_of(codebook, entries[:1], rate)[0]
    data, noise = equalize_and_estimate(observation, num_pilots=8, estimator=estimator)
    search = MapDetector(SignalTemplates.of(codebook, entries), rate)
    ((entry, score, confidence),) = search.match(search.queries(data[None], np.array([noise])))
    assert entry in range(ENTRIES)
    assert np.isfinite(score)
    assert 0.0 <= confidence <= 1.0


def test_features_whose_width_no_rate_is_a_multiple_of(entries: np.ndarray) -> None:
    dim = 24
    rng = np.random.default_rng(5)
    wide = rng.standard_normal((30, dim)).astype(np.float32)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    codebook = Codebook(
        mean=np.zeros(dim, np.float32),
        projection=np.eye(dim, dtype=np.float32),
        centroids=np.eye(dim, dtype=np.float32)[:4],
        codewords=rng.choice(np.array([-1, 1], np.int8), (4, dim)),
        cell_shares=np.full(4, 0.25, np.float32),
        energy_score_threshold=30.0,
        digital_power_share=0.9,
        high_snr_digital_power_share=0.5,
        analog_scale=5.0,
    )
    for rate in RATES[1:]:
        symbols = symbols_of(codebook, wide, rate)
        found = MapDetector(SignalTemplates.of(codebook, wide), rate).ranked(symbols, np.full(30, 0.05))
        assert np.mean([row.entries[0] for row in found] == np.arange(30)) > 0.9


def test_wrong_knowledge_bases_are_refused(codebook: Codebook) -> None:
    with pytest.raises(KnowledgeBaseError, match="without entries"):
        SignalTemplates.of(codebook, np.zeros((0, DIM), np.float32))
    with pytest.raises(EngineError, match="must be"):
        SignalTemplates.of(codebook, np.ones((2, DIM + 1), np.float32))


@pytest.mark.parametrize("precision", list(SearchPrecision))
@pytest.mark.parametrize("snr_db", [-60.0, 0.0, 30.0])
def test_a_gpu_answers_as_the_cpu_does(
    codebook: Codebook, entries: np.ndarray, precision: SearchPrecision, snr_db: float
) -> None:
    """Also in so much noise that a query does not fit half precision."""
    recording = RecordingFaiss()
    gpu, templates = GpuSearch(recording, precision), SignalTemplates.of(codebook, entries)
    for rate in (parse_rate("8"), parse_rate("64")):
        observation = apply_channel(
            symbols_of(codebook, entries, rate), ChannelModel.AWGN, snr_db=snr_db, rng=np.random.default_rng(4)
        ).symbols
        variances = np.full(len(observation), noise_variance(snr_db))
        on_cpu: tuple[Any, ...] = MapDetector.of_rates(templates, [rate])[rate], CodewordSearch(b"kb", ENTRIES, rate)
        on_gpu: tuple[Any, ...] = (
            MapDetector.of_rates(templates, [rate], gpu=gpu)[rate],
            CodewordSearch(b"kb", ENTRIES, rate, gpu=gpu),
        )
        for cpu, other in zip(on_cpu, on_gpu, strict=True):
            expected, got = (
                [search.match(search.queries(observation[[i]], variances[[i]]))[0] for i in range(len(observation))]
                for search in (cpu, other)
            )
            same = np.mean([a[0] == b[0] for a, b in zip(expected, got, strict=True)])
            assert same == 1.0 if precision is SearchPrecision.FP32 else same >= 0.9
            if precision is SearchPrecision.FP32:
                assert [answer[:2] for answer in got] == [answer[:2] for answer in expected]
                # At 30 dB log-likelihoods are of about 1e4, of which float32 keeps three decimals.
                of_gpu, of_cpu = ([answer.confidence for answer in answers] for answers in (got, expected))
                np.testing.assert_allclose(of_gpu, of_cpu, atol=2e-3)
    assert len(recording.named("hold")) == 4
