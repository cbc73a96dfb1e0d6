"""The search on a GPU, over a recording stand-in for faiss's GPU classes."""

from __future__ import annotations

import ctypes
import logging
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.gpu_search import GpuSearch, SearchPrecision, choose_gpu_search
from edge_rx.kb.index import FlatIndex, InnerProductIndex, open_search_device
from edge_rx.pipeline import Receiver
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, EngineError, KnowledgeBaseError, MissingDependencyError
from semlink.frame import pack
from semlink.image import RGBImage
from tests.support.frames import FrameMaker
from tests.support.recording_faiss import RecordingFaiss
from tests.support.tensorrt_fakes import no_library

OUT_OF_MEMORY = (
    "Error in virtual void* faiss::gpu::StandardGpuResourcesImpl::allocMemory(const AllocRequest&) at /x/Res.cpp:543:\n"
    "Error: 'err == cudaSuccess' failed: StandardGpuResources: alloc fail type FlatData dev 0 size 1 (cudaMalloc error"
    " out of memory [2])"
)


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((200, 24)).astype(np.float32)


@pytest.fixture
def queries() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((7, 24)).astype(np.float32)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_rx.kb.gpu_search.probe_driver", lambda **_: None)


def test_one_set_of_resources_of_bounded_memory_serves_all(vectors: np.ndarray) -> None:
    recording = RecordingFaiss()
    gpu = GpuSearch(recording)
    for dim in (4, 8):
        InnerProductIndex(vectors[:, :dim], gpu=gpu)
    assert recording.named("resources") == [()]
    assert recording.named("temporary") == [(256 * 2**20,)]
    assert recording.named("hold") == [(200, 4, 0, False), (200, 8, 0, False)]


def test_inner_products_are_those_of_the_cpu(vectors: np.ndarray, queries: np.ndarray) -> None:
    recording = RecordingFaiss()
    held, expected = InnerProductIndex(vectors, gpu=GpuSearch(recording)), InnerProductIndex(vectors)
    for _ in range(3):
        for got, wanted in zip(
            held.search(queries, num_matches=5), expected.search(queries, num_matches=5), strict=True
        ):
            np.testing.assert_array_equal(got, wanted)
    assert len(held) == len(expected) == 200
    assert len(recording.named("hold")) == 1, "vectors are copied to the GPU once"
    assert recording.named("search") == [((7, 24), 5)] * 3


def test_cosines_are_those_of_the_cpu(vectors: np.ndarray, queries: np.ndarray, tmp_path: Path) -> None:
    recording, expected = RecordingFaiss(), FlatIndex(24)
    expected.add(vectors)
    expected.save(tmp_path / "index.faiss")
    index = FlatIndex.load(tmp_path / "index.faiss", feature_dim=24, gpu=GpuSearch(recording))
    assert not recording.named("hold"), "nothing is copied for who does not search"
    for _ in range(2):
        got, wanted = index.search(queries * 9, num_matches=3), expected.search(queries, num_matches=3)
        for on_gpu, on_cpu in zip(got, wanted, strict=True):
            np.testing.assert_allclose(np.asarray(on_gpu), np.asarray(on_cpu), rtol=1e-6)
    assert recording.named("hold") == [(200, 24, 0, False)]
    index.add(queries)
    assert index.search(queries[:1], num_matches=1)[0][0, 0] == 200
    assert recording.named("hold")[1:] == [(207, 24, 0, False)], "what was added is searched"


@pytest.mark.parametrize("loudness", [1.0, 1e7, 1e-7, 0.0])
def test_half_precision_finds_the_same_however_loud(vectors: np.ndarray, queries: np.ndarray, loudness: float) -> None:
    held = InnerProductIndex(vectors, gpu=GpuSearch(RecordingFaiss(), SearchPrecision.FP16))
    loud = queries * np.float32(loudness)
    ids, products = held.search(loud, num_matches=1)
    expected = loud @ vectors.T
    np.testing.assert_allclose(products[:, 0], expected.max(axis=1), rtol=5e-3)
    if loudness:
        np.testing.assert_array_equal(ids[:, 0], expected.argmax(axis=1))


@pytest.mark.parametrize("precision", list(SearchPrecision))
def test_a_receiver_answers_as_on_the_cpu(
    built_kb: Path,
    model_set: ModelSet,
    maker: FrameMaker,
    knowledge_base: KnowledgeBase,
    pictures: dict[str, RGBImage],
    precision: SearchPrecision,
) -> None:
    recording = RecordingFaiss()
    on_cpu = Receiver(Decoders.of(model_set, knowledge_base, DecoderOptions(answer="nearest")), knowledge_base)
    gpu = GpuSearch(recording, precision)
    with KnowledgeBase.open(built_kb, model_set.encoder_fingerprint, gpu=gpu) as held:
        other = Receiver(Decoders.of(model_set, held, DecoderOptions(answer="nearest", gpu=gpu)), held)
        num_held = len(recording.named("hold"))
        for sequence, picture in enumerate(pictures.values()):
            message = pack(maker.frame(picture, sequence))
            expected, got = on_cpu.run_once(message), other.run_once(message)
            assert expected is not None
            assert got is not None
            assert (got.label, got.source) == (expected.label, expected.source)
            assert got.score == pytest.approx(expected.score, abs=2e-3)
            assert got.confidence == pytest.approx(expected.confidence, abs=2e-3)
    assert len(recording.named("hold")) == num_held, "frames copy nothing"
    assert len(recording.named("search")) >= len(pictures)


class TestChoice:
    def test_the_cpu_asks_nothing(self) -> None:
        def fail() -> ModuleType:
            raise AssertionError("faiss was asked for")

        assert choose_gpu_search(fail, "cpu", SearchPrecision.FP32) is None

    @pytest.mark.usefixtures("driver")
    @pytest.mark.parametrize("device", ["auto", "gpu"])
    def test_a_gpu_that_is_there(self, device: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        gpu = choose_gpu_search(RecordingFaiss, device, SearchPrecision.FP16)
        assert gpu is not None
        assert gpu.precision is SearchPrecision.FP16
        assert f"search device {device}: chose gpu:0, fp16" in caplog.text

    def test_a_faiss_for_the_cpu(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        with pytest.raises(
            EngineError, match=r"built for the CPU; pip uninstall faiss-cpu, then pip install .*\[gpu\]"
        ):
            open_search_device("gpu")
        assert open_search_device("auto", SearchPrecision.FP16) is None
        assert "search device auto: chose cpu, fp32 (no search on a GPU: this faiss is built for the CPU" in caplog.text

    def test_no_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ctypes, "CDLL", no_library)
        with pytest.raises(EngineError, match=r"no NVIDIA driver here .* or search with --device cpu"):
            choose_gpu_search(RecordingFaiss, "gpu", SearchPrecision.FP32)
        assert choose_gpu_search(RecordingFaiss, "auto", SearchPrecision.FP32) is None

    @pytest.mark.usefixtures("driver")
    def test_a_gpu_that_faiss_cannot_use(self) -> None:
        with pytest.raises(EngineError, match="update the driver"):
            choose_gpu_search(lambda: RecordingFaiss(num_gpus=0), "gpu", SearchPrecision.FP32)

    @pytest.mark.usefixtures("driver")
    def test_a_gpu_by_its_number(self) -> None:
        gpu = choose_gpu_search(lambda: RecordingFaiss(num_gpus=2), "gpu:1", SearchPrecision.FP32)
        assert gpu is not None
        assert gpu.number == 1
        with pytest.raises(EngineError, match=r"no search on gpu:2: faiss finds 2, the last is gpu:1"):
            choose_gpu_search(lambda: RecordingFaiss(num_gpus=2), "gpu:2", SearchPrecision.FP32)
        with pytest.raises(ConfigError, match='device "tpu" is not known'):
            choose_gpu_search(RecordingFaiss, "tpu", SearchPrecision.FP32)

    def test_half_precision_on_the_cpu(self) -> None:
        with pytest.raises(ConfigError, match="--search-precision fp16 needs --device gpu"):
            open_search_device("cpu", SearchPrecision.FP16)

    def test_a_faiss_whose_cuda_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import builtins

        original = builtins.__import__

        def without_cuda(name: str, *args: Any, **kwargs: Any) -> Any:
            if name == "faiss":
                raise ImportError("libcublas.so.12: cannot open shared object file", name="faiss._swigfaiss")
            return original(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", without_cuda)
        with pytest.raises(MissingDependencyError, match=r"does not load: libcublas.*\[gpu\]"):
            InnerProductIndex(np.eye(4, dtype=np.float32))


def test_no_room_says_how_much_is_needed(vectors: np.ndarray) -> None:
    with pytest.raises(
        EngineError, match=r"GPU out of memory: 19200 bytes are needed for fp32 .*fp16.*--rate"
    ) as raised:
        InnerProductIndex(vectors, gpu=GpuSearch(RecordingFaiss(failure=OUT_OF_MEMORY)))
    assert "\n" not in str(raised.value)
    with pytest.raises(EngineError, match="9600 bytes are needed for fp16") as raised:
        InnerProductIndex(vectors, gpu=GpuSearch(RecordingFaiss(failure=OUT_OF_MEMORY), SearchPrecision.FP16))
    assert "--search-precision" not in str(raised.value)


def test_another_failure_keeps_faiss_words(vectors: np.ndarray) -> None:
    with pytest.raises(EngineError, match=r"search on the GPU failed: CUDA error 700; --device cpu"):
        InnerProductIndex(vectors, gpu=GpuSearch(RecordingFaiss(failure="Error in f at x.cu:1: CUDA error 700")))


def test_a_gpu_gives_2048_matches_at_most(vectors: np.ndarray) -> None:
    held = InnerProductIndex(np.tile(vectors, (11, 1)), gpu=GpuSearch(RecordingFaiss()))
    with pytest.raises(KnowledgeBaseError, match="at most 2048 on a GPU, got 2100"):
        held.search(vectors[:1], num_matches=2100)
