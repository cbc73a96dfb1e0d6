"""The receiver's stages, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import NUM_KB_ENTRIES
from benchmarks.graphs import BACKEND
from benchmarks.search_cost import label_search_cost, signal_search_cost
from edge_rx.decoders.base import Candidate, Decoder
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.decoders.templates import SignalTemplates
from edge_rx.equalizer import equalize_phase
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.index import FlatIndex
from edge_rx.noise import NoiseEstimator
from engines.models.codecs import PerRateCodec
from engines.models.model_set import ModelSet
from semlink.channel import ChannelModel, apply_channel, complex_normal, pilot_symbols
from semlink.channel_process import SoftwareChannel
from semlink.frame import Frame, pack, unpack
from semlink.iq import Symbols, dequantize, normalize_power, quantize
from semlink.rates import Rate


@pytest.fixture(scope="session")
def symbols(rate: Rate) -> Symbols:
    return normalize_power(complex_normal((rate.num_symbols,), np.random.default_rng(0)))


@pytest.fixture
def codec_decoder(model_set: ModelSet, codec: str, rate: Rate, knowledge_base_folder: Path) -> Iterator[Decoder]:
    with KnowledgeBase.open(knowledge_base_folder) as kb:
        yield Decoders.of(model_set, kb, DecoderOptions(rates=[rate], backend=BACKEND)).decoder(
            model_set.codec(codec).fingerprint(rate)
        )


@pytest.fixture(scope="session")
def search_cost(model_set: ModelSet, codec: str, rate: Rate, knowledge_base_folder: Path) -> dict[str, float]:
    """Of every signal for `nested-cells`; `kbsc` and `nested` without cells decide the label of the digits first."""
    found = model_set.codec(codec)
    with KnowledgeBase.open(knowledge_base_folder) as kb:
        if isinstance(found, PerRateCodec) or not found.codebook.has_cells:
            return label_search_cost(kb.num_entries, len({*kb.entry_labels()}), rate.latent_dim, has_axes=True)
        return signal_search_cost(len(SignalTemplates.of(found.codebook, kb.features()).signals), rate.latent_dim)


@pytest.fixture(scope="session")
def frame_bytes(model_set: ModelSet, rate: Rate, symbols: Symbols) -> bytes:
    return pack(Frame(1, 2, 3, model_set.codec().fingerprint(rate), rate, quantize(symbols)))


def test_channel(benchmark: BenchmarkFixture, frame_bytes: bytes) -> None:
    """The software channel: unpack, dequantize, AWGN, quantize, pack."""
    forwarded: list[bytes] = []
    rng = np.random.default_rng(0)
    channel = SoftwareChannel(ChannelModel.AWGN, snr_db=0.0, rng=rng, send=forwarded.append)
    benchmark(channel.run_once, frame_bytes)
    assert not np.array_equal(unpack(forwarded[-1]).codes, unpack(frame_bytes).codes)


def test_unpack(benchmark: BenchmarkFixture, frame_bytes: bytes, rate: Rate) -> None:
    assert benchmark(unpack, frame_bytes).rate == rate


def test_dequantize(benchmark: BenchmarkFixture, frame_bytes: bytes, symbols: Symbols) -> None:
    received = benchmark(dequantize, unpack(frame_bytes).codes)
    assert np.abs(received - symbols).max() < 0.05


def test_equalize_with_pilots(benchmark: BenchmarkFixture, symbols: Symbols) -> None:
    sent = np.concatenate([pilot_symbols(8), symbols])
    received = apply_channel(sent, ChannelModel.RAYLEIGH, snr_db=20.0, rng=np.random.default_rng(1)).symbols
    data = benchmark(lambda: equalize_phase(received, num_pilots=8))
    cosine = np.vdot(symbols, data) / np.linalg.norm(symbols) / np.linalg.norm(data)
    assert cosine.real > 0.95  # the phase is corrected, the magnitude is not


def test_decode(
    benchmark: BenchmarkFixture,
    codec_decoder: Decoder,
    symbols: Symbols,
) -> None:
    """Received symbols to query: equalise, and weight by the noise."""
    noise = NoiseEstimator()
    query = benchmark(lambda: codec_decoder.decode(codec_decoder.equalize(symbols, num_pilots=0, noise=noise)))
    assert np.isfinite(query).all()


def test_decode_and_search(
    benchmark: BenchmarkFixture,
    codec_decoder: Decoder,
    symbols: Symbols,
    search_cost: dict[str, float],
) -> None:
    """Received symbols to entry: an entry of the most probable label.

    For `nested-cells` the search among the signals of 5,000 entries and 6,144 codewords is the decoder.
    """
    noise = NoiseEstimator()
    benchmark.extra_info.update(search_cost)

    def search() -> list[Candidate | None]:
        return codec_decoder.search(codec_decoder.decode(codec_decoder.equalize(symbols, num_pilots=0, noise=noise)))

    (found,) = benchmark(search)
    assert found is not None
    assert 0 <= found.entry_id < NUM_KB_ENTRIES


@pytest.mark.parametrize("num_entries", [5_000, 100_000])
def test_search(benchmark: BenchmarkFixture, unit_vectors: npt.NDArray[np.float32], num_entries: int) -> None:
    index = FlatIndex(512)
    index.add(unit_vectors[:num_entries])
    query = unit_vectors[num_entries // 2][None]
    benchmark.extra_info["bytes_moved"] = unit_vectors[:num_entries].nbytes  # an exact search reads every vector
    benchmark.extra_info["operations"] = 2 * unit_vectors[:num_entries].size
    entries, scores = benchmark(lambda: index.search(query, num_matches=1))
    assert entries[0, 0] == num_entries // 2
    assert scores[0, 0] == pytest.approx(1.0, abs=1e-4)
