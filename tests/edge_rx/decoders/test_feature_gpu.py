"""Decoding and search on one GPU, the query handed over by its address: over stand-ins for both."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.decoders.feature import GpuDecoder, GraphDecoder, decoder_backend
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.decoders.signal import SignalDecoder
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.approximate import SearchIndex
from edge_rx.kb.gpu_search import GpuSearch, SearchPrecision
from edge_rx.match import Match
from edge_rx.noise import NoiseEstimator
from edge_rx.pipeline import Receiver
from engines.backends.onnxruntime.cpu import OnnxRuntimeRunner
from engines.backends.runner import BuildProgress, DeviceView
from engines.models.model_set import ModelSet
from engines.store import EngineStore
from semlink.errors import ConfigError, EngineError
from semlink.frame import MAX_PILOTS, pack
from semlink.image import RGBImage
from semlink.iq import CodesFormat
from semlink.message import Message
from semlink.rates import RATES
from tests.support.frames import FrameMaker
from tests.support.model_sets import make_model_set
from tests.support.recording_faiss import RecordingFaiss

BATCH = 4
NEAREST = DecoderOptions(answer="nearest", batch_size=BATCH)


class StandIn:
    """A TensorRT runner whose device is the host: ONNX Runtime computes, and the result is where its address says."""

    folders: ClassVar[list[Path]] = []

    def __init__(
        self,
        graph: bytes,
        *,
        store: EngineStore,
        device_index: int,
        stays_on_device: bool,
        on_progress: BuildProgress | None,
    ) -> None:
        assert stays_on_device
        assert device_index == 0, "the GPU that searches"
        StandIn.folders.append(store.folder)
        self._runner = OnnxRuntimeRunner(graph)
        self.input = self._runner.input
        shape: Any = (BATCH, *self._runner.output.shape[1:])
        self._given = np.empty(shape, np.float32)
        self.calls = 0

    def on_device(self, tensor: np.ndarray) -> DeviceView:
        self.calls += 1
        np.copyto(self._given, self._runner(tensor))
        return DeviceView(self._given.ctypes.data, self._given.shape)


@pytest.fixture
def make_decoders(
    monkeypatch: pytest.MonkeyPatch, model_set: ModelSet, built_kb: Path
) -> Iterator[Callable[..., tuple[Decoders, KnowledgeBase, RecordingFaiss]]]:
    monkeypatch.setattr("engines.backends.tensorrt.runner.TensorRtRunner", StandIn)

    def make(
        precision: SearchPrecision = SearchPrecision.FP32,
        kind: SearchIndex = SearchIndex.FLAT,
        engines: Path | None = None,
    ) -> tuple[Decoders, KnowledgeBase, RecordingFaiss]:
        recording = RecordingFaiss()
        gpu = GpuSearch(recording, precision)
        opened = KnowledgeBase.open(built_kb, model_set.encoder_fingerprint, gpu=gpu, search_index=kind)
        knowledge_base = stack.enter_context(opened)
        decoders = Decoders.of(
            model_set, knowledge_base, replace(NEAREST, backend="tensorrt", gpu=gpu, engines=engines)
        )
        return decoders, knowledge_base, recording

    with contextlib.ExitStack() as stack:
        yield make


@pytest.fixture
def make_receiver(
    make_decoders: Callable[..., tuple[Decoders, KnowledgeBase, RecordingFaiss]],
) -> Callable[..., tuple[Receiver, RecordingFaiss]]:
    def make(*arguments: Any, **options: Any) -> tuple[Receiver, RecordingFaiss]:
        decoders, knowledge_base, recording = make_decoders(*arguments, **options)
        return Receiver(decoders, knowledge_base), recording

    return make


def compared_fields(match: Match) -> tuple[object, ...]:
    return (match.frame_id, match.entry_id, match.source, match.codec, match.num_pilots)


@pytest.mark.parametrize("kind", [SearchIndex.FLAT, SearchIndex.IVF])
@pytest.mark.parametrize("precision", list(SearchPrecision))
def test_answers_are_those_of_the_cpu(
    make_receiver: Callable[..., tuple[Receiver, RecordingFaiss]],
    model_set: ModelSet,
    knowledge_base: KnowledgeBase,
    maker: FrameMaker,
    pictures: dict[str, RGBImage],
    precision: SearchPrecision,
    kind: SearchIndex,
) -> None:
    """Of every format and number of pilots, mixed in one batch, with a silent one between them."""
    on_gpu, recording = make_receiver(precision, kind)
    on_cpu = Receiver(Decoders.of(model_set, knowledge_base, NEAREST), knowledge_base)
    kinds = [(0, CodesFormat.SC8), (1, CodesFormat.SC16), (8, CodesFormat.CF32), (MAX_PILOTS, CodesFormat.SC8)]
    frames = [
        maker.frame(picture, sequence, num_pilots=kinds[sequence % 4][0], codes_format=kinds[sequence % 4][1])
        for sequence, picture in enumerate(pictures.values())
    ]
    frames[5].codes[:] = 0
    messages = [pack(frame) for frame in frames]
    expected = [match for data in messages if (match := on_cpu.run_once(data)) is not None]
    recording.calls.clear()
    got: list[Match] = []
    for start in range(0, len(messages), BATCH):
        got += on_gpu.run_batch(
            [Message(data, time.perf_counter_ns()) for data in messages[start : start + BATCH]]
        ).matches
    assert [compared_fields(match) for match in got] == [compared_fields(match) for match in expected]
    assert len(got) == len(messages) - 1
    tolerance = 1e-5 if precision is SearchPrecision.FP32 else 2e-3
    np.testing.assert_allclose([match.score for match in got], [match.score for match in expected], atol=tolerance)
    np.testing.assert_allclose([match.confidence for match in got], [match.confidence for match in expected], atol=1e-5)
    assert on_gpu.rejected == on_cpu.rejected == {"symbols decode to no direction": 1}
    assert recording.named("search_c") == [(BATCH, 1)] * (len(messages) // BATCH), "queries are not seen by the host"
    assert not recording.named("search")


def test_a_batch_smaller_than_the_engines(
    make_receiver: Callable[..., tuple[Receiver, RecordingFaiss]], maker: FrameMaker, pictures: dict[str, RGBImage]
) -> None:
    on_gpu, recording = make_receiver()
    recording.calls.clear()
    for sequence, (name, picture) in enumerate(pictures.items()):
        match = on_gpu.run_once(pack(maker.frame(picture, sequence)))
        assert match is not None
        assert match.source == name
    assert set(recording.named("search_c")) == {(1, 1)}


def test_a_batch_larger_than_the_engines(
    make_decoders: Callable[..., tuple[Decoders, KnowledgeBase, RecordingFaiss]], maker: FrameMaker
) -> None:
    decoders, _, _ = make_decoders()
    decoder = decoders.decoder(maker.fingerprint)
    assert isinstance(decoder, GpuDecoder)
    observation = decoder.equalize(np.ones(64, np.complex64), num_pilots=0, noise=NoiseEstimator())
    with pytest.raises(EngineError, match="the engine decodes 4 frames together, got 5"):
        decoder.decode(np.repeat(observation, 5, axis=0))


def test_engines_are_kept_where_it_is_told(
    make_receiver: Callable[..., tuple[Receiver, RecordingFaiss]], model_set: ModelSet, tmp_path: Path
) -> None:
    StandIn.folders.clear()
    make_receiver()
    make_receiver(engines=tmp_path / "kept")
    beside, named = model_set.folder / "engines", tmp_path / "kept"
    assert StandIn.folders == [beside] * (len(StandIn.folders) // 2) + [named] * (len(StandIn.folders) // 2)


class TestChoice:
    @pytest.fixture
    def gpu(self) -> GpuSearch:
        return GpuSearch(RecordingFaiss())

    def test_tensorrt_needs_the_search_on_the_gpu(self) -> None:
        with pytest.raises(ConfigError, match=r"--backend tensorrt .* add --device gpu"):
            decoder_backend("tensorrt", gpu=None)
        assert decoder_backend("auto", gpu=None) == "onnxruntime"

    def test_auto_takes_tensorrt_where_it_is(
        self, monkeypatch: pytest.MonkeyPatch, gpu: GpuSearch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert decoder_backend("auto", gpu=gpu) == "onnxruntime"
        assert "backend auto: chose onnxruntime on cpu (no tensorrt and no pycuda here)" in caplog.text
        monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
        monkeypatch.setattr("engines.backends.target.probe_driver", lambda **_: _Driver())
        assert decoder_backend("auto", gpu=gpu) == "tensorrt"
        assert "backend auto: chose tensorrt on gpu:0 (CUDA 12.6)" in caplog.text

    def test_a_backend_that_no_receiver_has(self, gpu: GpuSearch) -> None:
        for searches in (gpu, None):
            with pytest.raises(ConfigError, match="onnxruntime-tensorrt is not for a receiver"):
                decoder_backend("onnxruntime-tensorrt", gpu=searches)

    @pytest.mark.parametrize(
        ("backend", "error"),
        [("nonsense", ConfigError), ("tensorrt", ConfigError), ("onnxruntime-tensorrt", ConfigError)],
    )
    def test_it_is_looked_at_where_no_codec_has_a_network_too(
        self, built_kb: Path, tmp_path: Path, backend: str, error: type[Exception]
    ) -> None:
        only_nested = make_model_set(tmp_path, rates=(), nested=True)
        with KnowledgeBase.open(built_kb) as knowledge_base, pytest.raises(error, match=backend):
            Decoders.of(only_nested, knowledge_base, DecoderOptions(rates=RATES[:1], backend=backend))

    def test_the_network_may_stay_on_the_cpu(
        self, gpu: GpuSearch, built_kb: Path, model_set: ModelSet, maker: FrameMaker
    ) -> None:
        with KnowledgeBase.open(built_kb, gpu=gpu) as knowledge_base:
            decoders = Decoders.of(model_set, knowledge_base, replace(NEAREST, backend="onnxruntime", gpu=gpu))
            assert isinstance(decoders.decoder(maker.fingerprint), GraphDecoder)

    def test_answers_by_label_need_no_network(
        self, monkeypatch: pytest.MonkeyPatch, gpu: GpuSearch, built_kb: Path, model_set: ModelSet, maker: FrameMaker
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
        monkeypatch.setattr("engines.backends.target.probe_driver", lambda **_: _Driver())
        with KnowledgeBase.open(built_kb, gpu=gpu) as knowledge_base:
            with pytest.raises(ConfigError, match=r"--answer nearest, or --backend onnxruntime"):
                Decoders.of(model_set, knowledge_base, DecoderOptions(backend="tensorrt", gpu=gpu))
            decoders = Decoders.of(model_set, knowledge_base, DecoderOptions(gpu=gpu))
            assert isinstance(decoders.decoder(maker.fingerprint), SignalDecoder)

    def test_a_query_on_a_gpu_is_not_for_the_cpu(self, knowledge_base: KnowledgeBase) -> None:
        with pytest.raises(ConfigError, match="--device gpu"):
            knowledge_base.search_on_device(DeviceView(1, (1, 16)))


class _Driver:
    cuda: Any = (12, 6)
