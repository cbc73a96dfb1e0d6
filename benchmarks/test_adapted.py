"""`adapted` over 5,000 entries, with 100 labels and without: codebook, start and answers; `kbsc` beside it.

The codec's part of the transmitter is timed with that of the other codecs, in `benchmarks.test_transmitter`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.clustered import NUM_LABELS, MadeCodebook, clustered_features, codebook_in_fresh_process, cyclic_labels
from benchmarks.conftest import NUM_KB_ENTRIES, NUM_THREADS
from benchmarks.fresh_process import median_and_max
from benchmarks.graphs import BACKEND
from benchmarks.search_cost import label_search_cost, signal_search_cost
from edge_rx.decoders.adapted import AdaptedSignals
from edge_rx.decoders.base import Candidate
from edge_rx.decoders.detectors import network_detectors
from edge_rx.decoders.options import Answer, DecoderOptions
from edge_rx.decoders.signal import SignalDecoder
from edge_rx.noise import NoiseEstimator
from engines.models.arrays import FloatArray
from engines.models.codecs import PerRateCodec
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook, label_hashes
from engines.models.model_set import ModelSet
from semlink.channel import ChannelModel, apply_channel
from semlink.iq import Symbols, normalize_power, pair_latent
from semlink.rates import RATES, Rate

ENTRY = 2_025
"""The entry that is sent."""
NUM_CHECKED = 1_000
"""Entries whose cells are compared with their labels."""
NUM_ROUNDS = {5_000: 5, 100_000: 1}
"""Codebooks that are made, by their number of entries: of 100,000 one takes most of a minute."""


@dataclass(frozen=True)
class Case:
    """What a receiver answers by.

    Attributes
    ----------
    codec : "adapted" or "kbsc"
    has_labels : whether entries have labels
    answer : see `edge_rx.decoders.options.DecoderOptions`
    """

    codec: str
    has_labels: bool
    answer: Answer

    @property
    def is_two_steps(self) -> bool:
        """Whether the label is decided first."""
        return self.has_labels and self.answer == "label"


CASES = {
    "adapted-by_label": Case("adapted", has_labels=True, answer="label"),
    "adapted-nearest_entry": Case("adapted", has_labels=True, answer="nearest"),
    "adapted-without_labels": Case("adapted", has_labels=False, answer="label"),
    "kbsc-by_label": Case("kbsc", has_labels=True, answer="label"),
}


@pytest.fixture(scope="session", params=CASES.values(), ids=[*CASES])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="session")
def codebook(case: Case, adapted_codebooks: dict[str, KnowledgeBaseCodebook]) -> KnowledgeBaseCodebook:
    return adapted_codebooks["adapted" if case.has_labels else "adapted-unlabelled"]


@pytest.fixture(scope="session")
def encode(
    case: Case, codebook: KnowledgeBaseCodebook, model_set: ModelSet, rate: Rate
) -> Callable[[FloatArray], FloatArray]:
    """Features to latent."""
    if case.codec == "adapted":
        return codebook.code.latent
    kbsc = model_set.codec(case.codec)
    assert isinstance(kbsc, PerRateCodec)
    return kbsc.load_encoder(rate, backend=BACKEND)


@pytest.fixture(scope="session")
def new_decoder(
    case: Case,
    codebook: KnowledgeBaseCodebook,
    encode: Callable[[FloatArray], FloatArray],
    entry_features: FloatArray,
    rate: Rate,
) -> Callable[[], SignalDecoder]:
    """Makes a decoder that has received nothing."""
    labels, options = cyclic_labels(NUM_KB_ENTRIES, are_known=case.has_labels), DecoderOptions(answer=case.answer)
    if case.codec == "kbsc":
        return lambda: SignalDecoder(case.codec, network_detectors(encode, entry_features, labels, rate, options), rate)
    signals = AdaptedSignals.of(codebook, entry_features, labels)
    return lambda: SignalDecoder(case.codec, signals.detectors([rate], options)[rate], rate)


@pytest.fixture(scope="session")
def received(
    encode: Callable[[FloatArray], FloatArray], entry_features: FloatArray, rate: Rate
) -> dict[float, Symbols]:
    """Symbols of one entry after white noise, by Es/N0 [dB]."""
    latent = encode(entry_features[ENTRY][None])[:, : rate.latent_dim]
    sent = normalize_power(pair_latent(latent))[0]
    return {snr_db: _received(sent, snr_db) for snr_db in (0.0, 20.0)}


def _received(sent: Symbols, snr_db: float) -> Symbols:
    return apply_channel(sent, ChannelModel.AWGN, snr_db=snr_db, rng=np.random.default_rng(1)).symbols


def answer(decoder: SignalDecoder, received: Symbols, noise: NoiseEstimator) -> Candidate:
    """Equalise, decode and search one frame."""
    (found,) = decoder.search(decoder.decode(decoder.equalize(received, num_pilots=0, noise=noise)))
    assert found is not None
    return found


def has_label_of_entry(found: Candidate) -> bool:
    return found.entry_id % NUM_LABELS == ENTRY % NUM_LABELS


@pytest.mark.parametrize("has_labels", [True, False], ids=["100_labels", "without_labels"])
@pytest.mark.parametrize("num_entries", NUM_ROUNDS)
def test_make_codebook(benchmark: BenchmarkFixture, num_entries: int, has_labels: bool) -> None:
    """Features and labels in memory to the codebook, its shape chosen by measuring, in processes of their own."""
    made: list[MadeCodebook] = []

    def make() -> None:
        made.append(codebook_in_fresh_process(num_entries, has_labels=has_labels, num_threads=NUM_THREADS))

    benchmark.pedantic(make, rounds=NUM_ROUNDS[num_entries])
    benchmark.extra_info.update(median_and_max([each.duration_ms for each in made]))
    benchmark.extra_info["memory_mb"] = {
        "peak resident": max(each.peak_resident_mb for each in made),
        "of it features": made[0].features_mb,
    }
    benchmark.extra_info["notes"] = {"codebook": f"{len(made[0].content) / 1e3:.0f} kB"}
    assert len({each.content for each in made}) == 1
    cells = cells_of(made[0].codebook, clustered_features(NUM_CHECKED))
    labels = label_hashes(cyclic_labels(NUM_CHECKED))
    if has_labels:
        assert np.array_equal(made[0].codebook.cell_labels[cells], labels)
    else:
        # Cells without labels are smaller than labels, and do not join them.
        assert len(np.unique(cells)) > NUM_LABELS
        assert len(np.unique(np.stack([cells, labels]), axis=1)[0]) == len(np.unique(cells))


def cells_of(codebook: KnowledgeBaseCodebook, features: FloatArray) -> npt.NDArray[np.int64]:
    """The cells that a transmitter decides."""
    return codebook.code.cells(codebook.code.directions(features))


@pytest.mark.parametrize("name", ["adapted", "adapted-unlabelled"])
def test_load_detectors(
    benchmark: BenchmarkFixture,
    adapted_codebooks: dict[str, KnowledgeBaseCodebook],
    entry_features: FloatArray,
    name: str,
) -> None:
    """Codebook, features and labels in memory to the detectors of every rate, which the first frames complete."""
    codebook, labels = adapted_codebooks[name], cyclic_labels(NUM_KB_ENTRIES, are_known=name == "adapted")
    detectors = benchmark(lambda: AdaptedSignals.of(codebook, entry_features, labels).detectors(RATES))
    latent = codebook.code.latent(entry_features[ENTRY][None])
    for rate, detector in detectors.items():
        symbols = _received(normalize_power(pair_latent(latent[:, : rate.latent_dim]))[0], 20.0)
        assert has_label_of_entry(answer(SignalDecoder(name, detector, rate), symbols, NoiseEstimator())), rate
    assert list(detectors) == list(RATES)


def test_first_search_at_a_rate(
    benchmark: BenchmarkFixture, new_decoder: Callable[[], SignalDecoder], received: dict[float, Symbols]
) -> None:
    """The first frame of a rate, which fits the model of its labels, or calibrates confidences."""
    found = benchmark.pedantic(
        answer, setup=lambda: ((new_decoder(), received[0.0], NoiseEstimator()), {}), rounds=5, warmup_rounds=1
    )
    assert has_label_of_entry(found)


def test_decode_and_search(
    benchmark: BenchmarkFixture,
    case: Case,
    new_decoder: Callable[[], SignalDecoder],
    received: dict[float, Symbols],
    rate: Rate,
) -> None:
    """Received symbols to entry, at 0 dB."""
    decoder, noise = new_decoder(), NoiseEstimator()
    benchmark.extra_info.update(
        label_search_cost(NUM_KB_ENTRIES, NUM_LABELS, rate.latent_dim, has_axes=case.codec == "kbsc")
        if case.is_two_steps
        else signal_search_cost(NUM_KB_ENTRIES, rate.latent_dim)
    )
    found = benchmark(answer, decoder, received[0.0], noise)
    assert has_label_of_entry(found)
    assert 0.0 < found.confidence <= 1.0
    assert answer(decoder, received[20.0], NoiseEstimator()).entry_id == ENTRY
