"""The transmitter's stages, batch 1."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import NUM_THREADS, OPTIONS
from benchmarks.graphs import (
    BACKEND,
    DEVICE,
    SentCodec,
    codec_encoder,
    codec_encoder_graph,
    codec_graphs,
    graph_cost,
)
from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.backends.runner import load_runner
from engines.graphs.compose import iq_head
from engines.graphs.transmitter import transmitter_graph
from engines.models.codecs import PerRateCodec
from engines.models.codewords import LATENT_DIM
from engines.models.model_set import ModelSet
from semlink.frame import Frame, pack, unpack
from semlink.image import LoadedImage, preprocess
from semlink.iq import normalize_power, pair_latent, quantize
from semlink.rates import Rate


@pytest.fixture(scope="session")
def tensor(model_set: ModelSet, camera_image: LoadedImage) -> np.ndarray:
    return preprocess(camera_image.pixels, model_set.manifest.encoder.preprocessing)[None]


@pytest.fixture(scope="session")
def features(model_set: ModelSet, tensor: np.ndarray) -> np.ndarray:
    return model_set.load_encoder(backend=BACKEND, num_threads=NUM_THREADS)(tensor)


@pytest.fixture(scope="session")
def latent(model_set: ModelSet, rate: Rate, features: np.ndarray) -> np.ndarray:
    kbsc = model_set.codec("kbsc")
    assert isinstance(kbsc, PerRateCodec)
    return kbsc.load_encoder(rate, backend=BACKEND)(features)


def test_preprocess_1280x720(benchmark: BenchmarkFixture, model_set: ModelSet, camera_image: LoadedImage) -> None:
    benchmark.extra_info["bytes_moved"] = camera_image.pixels.nbytes  # every pixel is read
    result = benchmark(preprocess, camera_image.pixels, model_set.manifest.encoder.preprocessing)
    assert result.shape == (224, 224, 3)
    assert 10 < result.mean() < 245


def test_encoder(benchmark: BenchmarkFixture, model_set: ModelSet, tensor: np.ndarray) -> None:
    runner = model_set.load_encoder(backend=BACKEND, num_threads=NUM_THREADS)
    benchmark.extra_info["notes"] = {"runs on": f"{runner.description}, fp32 (weights stored as fp16)"}
    benchmark.extra_info.update(graph_cost(model_set.encoder_path))
    features = benchmark(runner, tensor)
    assert np.linalg.norm(features) == pytest.approx(1.0, abs=1e-4)


def test_encoder_one_thread(benchmark: BenchmarkFixture, model_set: ModelSet, tensor: np.ndarray) -> None:
    benchmark.extra_info.update(graph_cost(model_set.encoder_path))
    features = benchmark(model_set.load_encoder(backend=BACKEND, num_threads=1), tensor)
    assert np.linalg.norm(features) == pytest.approx(1.0, abs=1e-4)


def test_codec_encoder(benchmark: BenchmarkFixture, sent_codec: SentCodec, rate: Rate, features: np.ndarray) -> None:
    """Features to latent: for `nested` and `adapted` that of every rate, for low and for high SNR."""
    benchmark.extra_info.update(graph_cost(codec_encoder_graph(sent_codec, rate)))
    latent = benchmark(codec_encoder(sent_codec, rate), features)
    if isinstance(sent_codec, PerRateCodec):
        assert latent.shape == (1, rate.latent_dim)
        assert latent.any()
    else:
        np.testing.assert_allclose(latent[:, :LATENT_DIM], sent_codec.nested_code.codebook.latent(features), atol=1e-4)


def test_codec_to_codes(benchmark: BenchmarkFixture, sent_codec: SentCodec, rate: Rate, features: np.ndarray) -> None:
    """Features to codes: codec, unit power, quantization; for `nested` and `adapted` those of every rate, twice."""
    benchmark.extra_info.update(graph_cost(codec_encoder_graph(sent_codec, rate)))
    codes = benchmark(codec_graphs(sent_codec, rate), features)
    latent = codec_encoder(sent_codec, rate)(features)[:, : rate.latent_dim]
    assert np.abs(codes.astype(int) - quantize(normalize_power(pair_latent(latent)))[0]).max() <= 1


def test_quantize_numpy(benchmark: BenchmarkFixture, latent: np.ndarray, rate: Rate) -> None:
    codes = benchmark(lambda: quantize(normalize_power(pair_latent(latent))))
    assert codes.shape == (1, rate.num_symbols, 2)
    assert np.abs(codes).max() > 10


def test_quantize_graph(benchmark: BenchmarkFixture, latent: np.ndarray, rate: Rate) -> None:
    codes = benchmark(load_runner(iq_head([rate]).SerializeToString(), backend=BACKEND, device=DEVICE), latent)
    assert np.array_equal(codes, quantize(normalize_power(pair_latent(latent))))


def test_pack(benchmark: BenchmarkFixture, model_set: ModelSet, rate: Rate, latent: np.ndarray) -> None:
    codes = quantize(normalize_power(pair_latent(latent)))[0]
    frame = Frame(
        1, 2, 3, model_set.codec("kbsc").fingerprint(rate), rate, codes, source_height_px=720, source_width_px=1280
    )
    data = benchmark(pack, frame)
    assert np.array_equal(unpack(data).codes, codes)


def test_composed_graph(
    benchmark: BenchmarkFixture, model_set: ModelSet, codec: str, rate: Rate, tensor: np.ndarray, features: np.ndarray
) -> None:
    """Encoder, codec, unit power and quantization in one engine call."""
    model = load_transmitter_model(model_set, rate, OPTIONS, codec=codec)
    benchmark.extra_info.update(graph_cost(transmitter_graph(model_set, rate, codec=codec).onnx))
    codes = benchmark(model.codes, tensor[0], rate)
    assert np.abs(codes.astype(int) - codec_graphs(model_set.codec(codec), rate)(features)).max() <= 1


def test_transmitter_run_once(
    benchmark: BenchmarkFixture, model_set: ModelSet, codec: str, rate: Rate, camera_image: LoadedImage
) -> None:
    """Image in memory to the bytes of a frame, without a socket."""
    sent: list[bytes] = []
    model = load_transmitter_model(model_set, rate, OPTIONS, codec=codec)
    transmitter = Transmitter(model, rate, sent.append)
    benchmark(transmitter.run_once, camera_image)
    assert unpack(sent[-1]).rate == rate


def test_import_edge_tx(benchmark: BenchmarkFixture) -> None:
    """A new interpreter that imports edge_tx, as a service does at its start."""
    command = [sys.executable, "-c", "import edge_tx"]
    done = benchmark.pedantic(subprocess.run, args=(command,), kwargs={"check": True}, rounds=15, warmup_rounds=2)
    assert done.returncode == 0
