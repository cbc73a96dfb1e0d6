"""Pictures over the same channel: HEVC stills with LDPC codes, and a trained network."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")
pytest.importorskip("av", reason="needs semlink[references]")
pytest.importorskip("sionna", reason="needs semlink[references]")

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.channel import ChannelModel, apply_channel, noise_variance
from semlink.constellation import Constellation
from semlink.errors import ConfigError, DatasetError, DecodeError, MissingDependencyError, ResultsError
from semlink.rates import parse_rate
from trainer.datasets.base import ImageList
from trainer.evaluation.grid import Grid
from trainer.evaluation.references import check_references, check_weights
from trainer.evaluation.report import EvaluationReport
from trainer.links.graph_link import Csi, LinkConditions
from trainer.links.references.bpg_ldpc import BpgLdpcLink, StillSource, pack_payloads, unpack_payloads
from trainer.links.references.coded_modulation import CodedModulation, Mode, modes
from trainer.links.references.deepjscc import DeepJsccLink
from trainer.links.references.deepjscc_training import DeepJsccTraining, read_pictures, train_deepjscc, trained_deepjscc
from trainer.links.references.hevc_stills import WORST_QP, HevcStills, StillLadder
from trainer.links.references.index_polar import IndexPolarLink, PolarCode, bit_likelihoods
from trainer.links.references.reception import encode_pictures, score_received
from trainer.links.retrieval import NoiselessRetrieval, score_retrieval

IDEAL = LinkConditions(ChannelModel.IDEAL, 0.0, Csi.NOTHING)
FULL_RATE = parse_rate("1024")


def awgn(snr_db: float) -> LinkConditions:
    return LinkConditions(ChannelModel.AWGN, snr_db, Csi.NOTHING)


def smooth_pictures(num_images: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """32 x 32 pictures of eight kinds: each kind 4 x 4 patches of its colours, made larger, and a little noise."""
    patches = np.random.default_rng(0).integers(20, 236, (8, 4, 4, 3), dtype=np.uint8)
    large = [np.asarray(Image.fromarray(patch).resize((32, 32), Image.Resampling.BICUBIC)) for patch in patches]
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 8, num_images)
    noise = rng.normal(0, 4, (num_images, 32, 32, 3))
    return [np.clip(large[kind] + extra, 0, 255).astype(np.uint8) for kind, extra in zip(kinds, noise, strict=True)], (
        kinds.astype(str)
    )


@pytest.fixture(scope="module")
def encoder(model_set: ModelSet) -> ImageEncoder:
    return ImageEncoder(model_set)


@pytest.fixture(scope="module")
def sent() -> list[np.ndarray]:
    return smooth_pictures(40, 1)[0]


@pytest.fixture(scope="module")
def noiseless(encoder: ImageEncoder, sent: list[np.ndarray]) -> NoiselessRetrieval:
    kept, kept_kinds = smooth_pictures(80, 2)
    return NoiselessRetrieval.of(
        encode_pictures(sent, encoder), smooth_pictures(40, 1)[1], encode_pictures(kept, encoder), kept_kinds
    )


@pytest.fixture(scope="module")
def source(encoder: ImageEncoder, sent: list[np.ndarray]) -> StillSource:
    return StillSource(sent, encoder)


class Always:
    """A choice that is made already."""

    def __init__(self, mode: Mode | None) -> None:
        self.mode = mode

    def best(self, *_: object) -> Mode | None:
        return self.mode


# Modulation and code


@pytest.mark.parametrize("num_symbols", [64, 256, 1024])
def test_every_mode_is_accounted_for(num_symbols: int) -> None:
    offered = modes(num_symbols)
    assert [mode.num_bits for mode in offered] == sorted(mode.num_bits for mode in offered)
    for mode in offered:
        assert mode.num_coded_bits == num_symbols * mode.bits_per_symbol
        assert mode.code_rate * mode.num_coded_bits - 1 < mode.num_bits <= mode.code_rate * mode.num_coded_bits
        assert mode.num_bytes == mode.num_bits // 8
    assert (offered[-1].bits_per_symbol, offered[-1].code_rate) == (6, Fraction(5, 6))


@pytest.mark.parametrize("mode", modes(64), ids=str)
def test_images_are_of_unit_power_whatever_their_bits(mode: Mode) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (6, mode.num_bits), dtype=np.uint8)
    bits[0], bits[1] = 0, 1
    coder = CodedModulation(mode)
    symbols = coder.modulate(bits)
    assert symbols.shape == (6, 64)
    np.testing.assert_allclose(np.mean(np.abs(symbols) ** 2, axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(coder.demodulate(symbols, np.full(6, 1e-3)), bits)


@pytest.mark.parametrize(
    ("mode", "works_db", "fails_db"),
    [
        # Capacity: log2(1 + SNR) bits for each symbol, 1 of them at 0 dB, 0.2 at -8.3 dB, 3 at 8.5 dB.
        (Mode(256, 2, Fraction(1, 2)), 3.0, -1.0),
        (Mode(256, 2, Fraction(1, 10)), -4.0, -12.0),
        (Mode(256, 4, Fraction(3, 4)), 14.0, 8.0),
        (Mode(256, 6, Fraction(1, 2)), 14.0, 8.0),
    ],
    ids=str,
)
def test_code_works_above_its_threshold_and_fails_below_capacity(mode: Mode, works_db: float, fails_db: float) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (40, mode.num_bits), dtype=np.uint8)
    coder = CodedModulation(mode)
    symbols = coder.modulate(bits)
    arrived = {}
    for snr_db in (works_db, fails_db):
        output = apply_channel(symbols, ChannelModel.AWGN, snr_db=snr_db, rng=rng)
        decided = coder.demodulate(output.symbols, np.full(40, output.noise_variance))
        arrived[snr_db] = np.mean((decided == bits).all(axis=1))
    assert arrived[works_db] == 1.0
    assert arrived[fails_db] == 0.0


def test_mode_without_room_for_a_code_is_refused() -> None:
    with pytest.raises(ConfigError, match="carries 6 bits"):
        CodedModulation(Mode(32, 2, Fraction(1, 10)))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=16).map(lambda data: data + b"\x01"), min_size=1, max_size=4))
def test_payloads_come_back_from_their_bits(payloads: list[bytes]) -> None:
    mode = Mode(70, 4, Fraction(1, 2))  # 140 bits: 17 bytes, and half of one
    assert unpack_payloads(pack_payloads(payloads, mode)) == payloads


# Stills


def test_still_comes_back_and_gets_better_with_its_size(sent: list[np.ndarray]) -> None:
    stills = HevcStills(height_px=32, width_px=32)
    errors, sizes = [], []
    for qp in (WORST_QP, 37, 20):
        payloads = stills.encode(sent[:10], qp)
        assert not any(payload.endswith(b"\x00") or b"\x00\x00\x01" in payload for payload in payloads)
        received = stills.decode(payloads)
        errors.append(np.mean([(got - want.astype(float)) ** 2 for got, want in zip(received, sent, strict=False)]))
        sizes.append(sum(map(len, payloads)))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 80  # noise that 4:2:0 does not carry is most of it
    assert sizes[0] < sizes[1] < sizes[2]
    assert stills.decode([]) == []


def test_stills_do_not_refer_to_each_other(sent: list[np.ndarray]) -> None:
    stills = HevcStills(height_px=32, width_px=32)
    together = stills.encode(sent[:4], 30)
    for got, want in zip(stills.decode(together), sent[:4], strict=True):
        (alone,) = stills.decode(stills.encode([want], 30))
        np.testing.assert_array_equal(got, alone)
    backwards = stills.decode(together[::-1])[::-1]
    for got, want in zip(backwards, stills.decode(together), strict=True):
        np.testing.assert_array_equal(got, want)


def test_best_still_within_a_budget(sent: list[np.ndarray]) -> None:
    ladder = StillLadder(HevcStills(height_px=32, width_px=32), sent[:10])
    smallest = int(ladder.sizes_bytes(WORST_QP).min())
    assert ladder.best_within(smallest - 1) == [None] * 10
    for num_bytes in (smallest, 40, 200):
        for index, payload in enumerate(ladder.best_within(num_bytes)):
            fitting = [qp for qp in range(WORST_QP + 1) if qp > 7 and ladder.sizes_bytes(qp)[index] <= num_bytes]
            assert (payload is None) == (not fitting)
            assert payload is None or len(payload) == ladder.sizes_bytes(min(fitting))[index]


def test_what_is_no_still_is_named(sent: list[np.ndarray]) -> None:
    with pytest.raises(ConfigError, match="15 x 32"):
        HevcStills(height_px=32, width_px=15)
    stills = HevcStills(height_px=16, width_px=16)
    with pytest.raises(ConfigError, match="32 x 32"):
        stills.encode(sent[:1], 30)


# What is lost


def test_lost_image_is_wrong(noiseless: NoiselessRetrieval) -> None:
    everything = np.ones(40, dtype=bool)
    whole = score_received(partial(score_retrieval, noiseless.features), everything, noiseless)
    assert whole == score_retrieval(noiseless.features, noiseless)
    half = np.arange(40) < 20
    scores = score_received(partial(score_retrieval, noiseless.features[half]), half, noiseless)
    assert scores.recall_at_1 == 0.5
    assert scores.mean_cosine == pytest.approx(0.5, abs=1e-5)
    nothing = score_received(partial(score_retrieval, noiseless.features[:0]), ~everything, noiseless)
    assert (nothing.semantic_accuracy, nothing.recall_at_10, nothing.match_cosine) == (0.0, 0.0, 0.0)


def test_undecodable_image_is_wrong(source: StillSource, noiseless: NoiselessRetrieval) -> None:
    link = BpgLdpcLink(FULL_RATE, source, Always(Mode(1024, 2, Fraction(1, 2))))
    assert link.retrieve(noiseless, awgn(-3.0), np.random.default_rng(0)).semantic_accuracy == 0.0
    assert link.retrieve(noiseless, awgn(6.0), np.random.default_rng(0)).semantic_accuracy > 0.9


def test_image_too_large_for_the_budget_is_wrong(source: StillSource, noiseless: NoiselessRetrieval) -> None:
    rate, mode = parse_rate("64"), Mode(64, 2, Fraction(1, 5))  # 3 bytes
    assert not source.fits(mode.num_bytes).any()
    for choice in (Always(mode), Always(None)):
        scores = BpgLdpcLink(rate, source, choice).retrieve(noiseless, IDEAL, np.random.default_rng(0))
        assert (scores.semantic_accuracy, scores.recall_at_10) == (0.0, 0.0)
    mode = Mode(64, 4, Fraction(3, 4))  # 24 bytes: some fit
    share = float(np.mean(source.fits(mode.num_bytes)))
    scores = BpgLdpcLink(rate, source, Always(mode)).retrieve(noiseless, IDEAL, np.random.default_rng(0))
    assert scores.semantic_accuracy <= share


def test_high_rate_without_noise_is_near_the_ideal(source: StillSource, noiseless: NoiselessRetrieval) -> None:
    link = BpgLdpcLink(FULL_RATE, source, Always(Mode(1024, 6, Fraction(5, 6))))
    scores = link.retrieve(noiseless, IDEAL, np.random.default_rng(0))
    assert scores.semantic_accuracy == pytest.approx(noiseless.noiseless_accuracy, abs=0.03)
    assert scores.mean_cosine > 0.99


# The polar code


def test_numbers_come_back_and_what_cannot_is_no_answer() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 5000, 400)
    code = PolarCode(5000, parse_rate("16"))
    symbols = code.modulate(numbers)
    assert symbols.shape == (400, 16)
    np.testing.assert_allclose(np.abs(symbols), 1.0, atol=1e-6)
    np.testing.assert_array_equal(code.demodulate(symbols, np.full(400, 1e-2)), numbers)
    deaf = apply_channel(symbols, ChannelModel.AWGN, snr_db=-15.0, rng=rng).symbols
    decided = code.demodulate(deaf, np.full(400, noise_variance(-15.0)))
    # Of numbers that noise has made up, six bits of CRC let pass one in eight at the most: the list has eight.
    assert np.mean((decided != -1) & (decided != numbers)) < 1 / 8
    assert np.mean(decided == -1) > 0.6


def test_likelihoods_of_bits_are_those_of_gaussian_noise() -> None:
    rng, n0 = np.random.default_rng(3), np.array([0.3, 2.0])
    symbols = (rng.standard_normal((2, 5)) + 1j * rng.standard_normal((2, 5))).astype(np.complex64)
    reals = np.stack([symbols.real, symbols.imag], axis=-1).reshape(2, 10)
    distance = {bit: (reals - (2 * bit - 1) * 0.5**0.5) ** 2 for bit in (0, 1)}
    expected = (distance[0] - distance[1]) / n0[:, None]  # each density falls as e to -distance / (2 N0 / 2)
    np.testing.assert_allclose(bit_likelihoods(symbols, n0), expected, rtol=1e-5)


def test_numbers_are_sent_and_scored() -> None:
    rng = np.random.default_rng(4)
    entries = rng.standard_normal((2100, 32)).astype(np.float32)
    entries /= np.linalg.norm(entries, axis=1, keepdims=True)
    labels = np.arange(2100).astype(str)
    noiseless = NoiselessRetrieval.of(entries[:60], labels[:60], entries, labels)
    link = IndexPolarLink.of(parse_rate("64"), noiseless)
    quiet, deaf = (link.retrieve(noiseless, awgn(snr_db), np.random.default_rng(0)) for snr_db in (5.0, -20.0))
    assert (quiet.semantic_accuracy, quiet.mean_cosine) == (1.0, pytest.approx(1.0, abs=1e-5))
    assert deaf.semantic_accuracy < 0.1
    assert deaf.mean_cosine == pytest.approx(deaf.match_cosine)
    with pytest.raises(ConfigError, match="2,049 entries or more, not 40"):
        check_references(grid(codecs=("index-polar",)), 40)


@pytest.mark.parametrize(("num_symbols", "works_db", "fails_db"), [("16", 4.0, -4.0), ("64", -3.0, -10.0)])
def test_polar_code_works_where_it_should(num_symbols: str, works_db: float, fails_db: float) -> None:
    """13 bits and their CRC: 1.2 and 0.3 bits for each symbol, which are the capacity at 1 and at -6.5 dB."""
    rate, rng = parse_rate(num_symbols), np.random.default_rng(1)
    code, numbers = PolarCode(5000, rate), rng.integers(0, 5000, 300)
    share = {}
    for snr_db in (works_db, fails_db):
        observation = apply_channel(code.modulate(numbers), ChannelModel.AWGN, snr_db=snr_db, rng=rng).symbols
        share[snr_db] = np.mean(code.demodulate(observation, np.full(300, noise_variance(snr_db))) == numbers)
    assert share[works_db] > 0.95
    assert share[fails_db] < 0.5


# The trained network

TRAINING = DeepJsccTraining(1024, epochs=10, batch_size=32, precision="fp32")


@pytest.fixture(scope="module")
def taught() -> ImageList:
    pictures, kinds = smooth_pictures(400, 3)
    return ImageList.of_arrays(pictures, [str(index) for index in range(400)], list(kinds))


@pytest.fixture(scope="module")
def deepjscc(
    taught: ImageList, sent: list[np.ndarray], encoder: ImageEncoder, tmp_path_factory: pytest.TempPathFactory
) -> DeepJsccLink:
    network = trained_deepjscc(TRAINING, taught, tmp_path_factory.mktemp("runs"))
    return DeepJsccLink(FULL_RATE, network, np.stack(sent), encoder)


def test_pictures_become_symbols_of_unit_power(deepjscc: DeepJsccLink) -> None:
    assert deepjscc.symbols.shape == (40, 1024)
    assert deepjscc.symbols.dtype == np.complex64
    np.testing.assert_allclose(np.mean(np.abs(deepjscc.symbols) ** 2, axis=1), 1.0, atol=1e-5)


def test_network_sends_what_can_be_recognised(deepjscc: DeepJsccLink, noiseless: NoiselessRetrieval) -> None:
    quiet = deepjscc.retrieve(noiseless, IDEAL, np.random.default_rng(0))
    assert quiet.semantic_accuracy == pytest.approx(noiseless.noiseless_accuracy, abs=0.05)
    noisy = deepjscc.retrieve(noiseless, awgn(-15.0), np.random.default_rng(0))
    assert noisy.mean_cosine < quiet.mean_cosine
    fading = LinkConditions(ChannelModel.RAYLEIGH, 20.0, Csi.PILOTS, 8)
    assert deepjscc.retrieve(noiseless, fading, np.random.default_rng(0)).semantic_accuracy > 0.8


def test_weights_are_kept_and_bound_to_their_images(taught: ImageList, tmp_path: Path) -> None:
    training, fewer = DeepJsccTraining(64, epochs=1, batch_size=32), taught.subset(np.arange(120))
    epochs: list[float] = []
    first = trained_deepjscc(training, fewer, tmp_path, advance=epochs.append)
    again = trained_deepjscc(training, fewer, tmp_path, advance=epochs.append)
    assert epochs == [1]
    assert all(np.array_equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    trained_deepjscc(training, taught.subset(np.arange(1, 121)), tmp_path, advance=epochs.append)
    assert epochs == [1, 1]
    path = training.path(fewer, tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ResultsError, match="remove it"):
        trained_deepjscc(training, fewer, tmp_path)


def test_pictures_that_the_network_is_not_made_for_are_named(taught: ImageList) -> None:
    large = ImageList.of_arrays([np.zeros((32, 48, 3), np.uint8)], ["wide"], ["x"])
    with pytest.raises(DatasetError, match="wide is 48 x 32"):
        read_pictures(large)
    with pytest.raises(DatasetError, match="too few"):
        train_deepjscc(TRAINING, read_pictures(taught.subset(np.arange(10))))


# The whole


def grid(**changes: object) -> Grid:
    values = {
        "codecs": ("bpg-ldpc", "deepjscc"),
        "rates": (parse_rate("64"),),
        "channels": (ChannelModel.AWGN,),
        "snr_db": (-20.0, 20.0),
        "seeds": (0,),
    }
    return Grid(**{**values, **changes})


def test_references_run_through_the_whole_evaluation(
    evaluated: Callable[..., EvaluationReport], model_set: ModelSet, tmp_path: Path
) -> None:
    for split, num_images in (("train", 400), ("test", 80)):
        for index, (picture, kind) in enumerate(zip(*smooth_pictures(num_images, num_images), strict=True)):
            path = tmp_path / "pictures" / split / kind / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    report = evaluated(grid(), tmp_path / "pictures", model_set)
    accuracy = {(record.codec, record.snr_db): record.semantic_accuracy for record in report.records}
    assert len(accuracy) == 4
    assert accuracy["bpg-ldpc", -20.0] == 0.0
    modes_taken = {r.snr_db: r.trained_on.split(",")[0] for r in report.records if r.codec == "bpg-ldpc"}
    assert modes_taken[-20.0] == "no mode"
    assert modes_taken[20.0].split()[0] in ("QPSK", "16-QAM", "64-QAM")
    assert accuracy["bpg-ldpc", 20.0] > 0.5
    assert accuracy["deepjscc", 20.0] > accuracy["deepjscc", -20.0]


def test_what_would_fail_after_training_is_refused_before(monkeypatch: pytest.MonkeyPatch) -> None:
    check_references(grid())
    check_references(grid(codecs=("nested",), channels=(ChannelModel.RAYLEIGH_FAST,)))
    with pytest.raises(ConfigError, match="rayleigh-fast"):
        check_references(grid(channels=(ChannelModel.RAYLEIGH_FAST,)))
    check_references(grid(codecs=("index-polar",), channels=(ChannelModel.RAYLEIGH_FAST,)))
    with pytest.raises(ConfigError, match="at least 32 symbols, got 16"):
        check_references(grid(rates=(parse_rate("16"),)))
    for num_symbols in ("8", "1024"):
        with pytest.raises(ConfigError, match="16 to 512 symbols"):
            check_references(grid(codecs=("index-polar",), rates=(parse_rate(num_symbols),)))
    for codec in ("index-polar", "bpg-ldpc", "deepjscc"):
        with pytest.raises(ConfigError, match="--constellation"):
            check_references(grid(codecs=(codec,), constellation=Constellation.QAM16))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="learns from training images"):
        check_weights(grid(), "model-set")
    check_weights(grid(codecs=("nested", "index-polar")), "model-set")
    with pytest.raises(MissingDependencyError, match=r"needs av.*references"):
        check_references(grid(codecs=("bpg-ldpc",)))
    with pytest.raises(MissingDependencyError, match=r"needs sionna-no-rt.*references"):
        check_references(grid(codecs=("index-polar",)))
    check_references(grid(codecs=("deepjscc",)))


def test_payload_that_did_not_arrive_whole_is_no_picture(sent: list[np.ndarray]) -> None:
    with pytest.raises(DecodeError):
        HevcStills(height_px=32, width_px=32).decode([b"\x01"])
