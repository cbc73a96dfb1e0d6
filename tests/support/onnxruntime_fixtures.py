"""ONNX Runtime's build for GPUs, over one that records, and a driver for it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engines.backends.onnxruntime.gpu import CudaProviderRunner, TensorRtProviderRunner
from engines.backends.runner import GraphRunner
from engines.store import EngineStore
from tests.support.recording_onnxruntime import CUDA, GRAPH, TENSORRT, RecordingOnnxRuntime, missing
from tests.support.tensorrt_fakes import FakeLibrary


@pytest.fixture(name="driver")
def driver_fixture(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    """A driver with two GPUs, and no other library."""
    library = FakeLibrary(num_devices=2)

    def load(name: str) -> FakeLibrary:
        return library if name.startswith("libcuda.") else missing(name)

    monkeypatch.setattr(ctypes, "CDLL", load)
    return library


@pytest.fixture(name="runtime")
def runtime_fixture(monkeypatch: pytest.MonkeyPatch, driver: FakeLibrary) -> RecordingOnnxRuntime:
    """A build for GPUs whose providers load."""
    recording = RecordingOnnxRuntime()
    recording.install(monkeypatch)
    return recording


@pytest.fixture(name="store")
def store_fixture(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


@dataclass(frozen=True)
class MakeRunner:
    """Makes runners of one provider, for a graph and settings."""

    provider: str
    store: EngineStore

    def __call__(self, graph: bytes = GRAPH, **settings: Any) -> GraphRunner:
        if self.provider == CUDA:
            return CudaProviderRunner(graph, **settings)
        return TensorRtProviderRunner(graph, store=self.store, **settings)


@pytest.fixture(name="make", params=[CUDA, TENSORRT])
def make_fixture(request: pytest.FixtureRequest, store: EngineStore) -> MakeRunner:
    """Either runner."""
    return MakeRunner(request.param, store)
