"""ONNX Runtime on a GPU runs, and keeps its engines: every step over a build that records."""

from __future__ import annotations

import ctypes
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from engines.backends.onnxruntime.gpu import CudaProviderRunner, TensorRtProviderRunner
from engines.backends.onnxruntime.session import onnxruntime
from engines.backends.runner import load_runner, require_backend
from engines.backends.target import DEFAULT_TARGET, Device, Target
from engines.store import EngineStore
from semlink.errors import EngineError
from tests.support.onnxruntime_fixtures import MakeRunner, driver_fixture, make_fixture, runtime_fixture, store_fixture  # noqa: F401
from tests.support.recording_onnxruntime import GRAPH, HALF, PICTURE, RecordingOnnxRuntime, half_graph, missing
from tests.support.tensorrt_fakes import FakeLibrary


@pytest.mark.usefixtures("runtime")
def test_a_targets_version_is_that_of_its_engines(store: EngineStore) -> None:
    TensorRtProviderRunner(GRAPH, store=store, device_index=1)
    (stored,) = store.all()
    assert require_backend(Target("onnxruntime-tensorrt", Device(1))) == stored.key.version
    for target in (DEFAULT_TARGET, Target("onnxruntime", Device(1))):
        assert require_backend(target) == onnxruntime.__version__
    with pytest.raises(EngineError, match="device 2 is not there"):
        require_backend(Target("onnxruntime", Device(2)))


class TestRunning:
    def test_one_image_goes_through_buffers_that_are_bound_once(
        self, runtime: RecordingOnnxRuntime, make: MakeRunner
    ) -> None:
        runner = make(device_index=1)
        assert runtime.named("allocate") == [((1, 2, 3), "uint8", "cuda", 1), ((1, 2, 3), "float32", "cuda", 1)]
        runtime.calls.clear()
        first, second = runner(PICTURE), runner(PICTURE + 2)
        np.testing.assert_array_equal(first, HALF)
        np.testing.assert_array_equal(second, HALF + 1)
        assert runtime.calls == [("copy in",), ("run bound",), ("copy out",)] * 2

    def test_it_has_run_before_the_first_image(self, runtime: RecordingOnnxRuntime, make: MakeRunner) -> None:
        make()
        assert runtime.calls[-3:] == [("copy in",), ("run bound",), ("copy out",)]

    def test_strided_input(self, runtime: RecordingOnnxRuntime, make: MakeRunner) -> None:
        wide = np.arange(12, dtype=np.uint8).reshape(1, 2, 6)
        np.testing.assert_array_equal(make()(wide[:, :, ::2]), wide[:, :, ::2] / 2)

    @pytest.mark.parametrize("batch", [0, 2, 5])
    def test_other_batches_run_in_cuda_without_them(self, runtime: RecordingOnnxRuntime, batch: int) -> None:
        runner = CudaProviderRunner(GRAPH)
        runtime.calls.clear()
        pictures = np.full((batch, 2, 3), 4, np.uint8)
        np.testing.assert_array_equal(runner(pictures), np.full((batch, 2, 3), 2.0))
        assert runtime.calls == [("run",)]

    def test_other_batches_are_refused_by_tensorrt(self, runtime: RecordingOnnxRuntime, store: EngineStore) -> None:
        runner = TensorRtProviderRunner(GRAPH, store=store)
        with pytest.raises(EngineError, match=r"input expects image: uint8 \(1, 2, 3\), received uint8 \(2, 2, 3\)"):
            runner(np.zeros((2, 2, 3), np.uint8))

    def test_a_picture_of_any_size_has_no_buffer(self, runtime: RecordingOnnxRuntime) -> None:
        runner = CudaProviderRunner(half_graph(width="width"))
        np.testing.assert_array_equal(runner(PICTURE), HALF)
        assert runtime.named("allocate") == []

    def test_threads_wait_for_one_another(self, runtime: RecordingOnnxRuntime, make: MakeRunner) -> None:
        runner = make()
        wrong: list[np.ndarray] = []

        def use(value: int) -> None:
            results = [runner(np.full((1, 2, 3), value, np.uint8)) for _ in range(50)]
            wrong.extend(result for result in results if not (result == value / 2).all())

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(use, range(4)))
        assert wrong == []


class TestMemory:
    WORDS = "CUDA failure 2: out of memory ; GPU=0 ; hostname=h\nin file cuda_call.cc"

    @pytest.mark.parametrize(
        ("when", "failure"),
        [("open", "cannot load it"), ("allocate", "cannot hold an image on the GPU"), ("run bound", "cannot run it")],
    )
    def test_too_small_is_one_line_with_its_words(
        self, runtime: RecordingOnnxRuntime, make: MakeRunner, when: str, failure: str
    ) -> None:
        runtime.fails[when] = RuntimeError(self.WORDS)
        with pytest.raises(EngineError, match=rf"ONNX Runtime {failure}: CUDA failure 2: out of memory .*; close what"):
            make()
        del runtime.fails[when]
        np.testing.assert_array_equal(make()(PICTURE), HALF)

    def test_that_runs_out_later_leaves_a_runner_that_runs(
        self, runtime: RecordingOnnxRuntime, make: MakeRunner
    ) -> None:
        runner = make()
        runtime.fails["run bound"] = RuntimeError("BFCArena: Failed to allocate memory for requested buffer of size 9")
        with pytest.raises(EngineError, match=r"Failed to allocate memory .*; close what else uses this memory"):
            runner(PICTURE)
        del runtime.fails["run bound"]
        np.testing.assert_array_equal(runner(PICTURE), HALF)


class TestEnginesOfTheProvider:
    def test_what_is_whole_stays(self, runtime: RecordingOnnxRuntime, store: EngineStore) -> None:
        runtime.keeps = b"an engine"
        TensorRtProviderRunner(GRAPH, store=store)
        (engine,) = store.folder.glob("*/*.engine")
        (stored,) = store.all()
        assert (stored.key.backend, stored.num_bytes) == ("onnxruntime-tensorrt", len(runtime.keeps))
        engine.with_suffix(".timing").touch()
        runtime.keeps = None
        TensorRtProviderRunner(GRAPH, store=store)
        assert engine.read_bytes() == b"an engine"
        TensorRtProviderRunner(GRAPH, store=store, rebuild=True)
        assert not engine.exists()

    @pytest.mark.parametrize("damaged", ["engine", "sidecar"])
    def test_what_is_cut_short_is_built_anew_and_said(
        self, runtime: RecordingOnnxRuntime, store: EngineStore, caplog: pytest.LogCaptureFixture, damaged: str
    ) -> None:
        runtime.keeps = b"an engine"
        TensorRtProviderRunner(GRAPH, store=store)
        (path,) = store.folder.glob("*/*.engine" if damaged == "engine" else "*.json")
        path.write_bytes(path.read_bytes()[:-2])
        runtime.keeps = b"another"
        TensorRtProviderRunner(GRAPH, store=store)
        (engine,) = store.folder.glob("*/*.engine")
        assert engine.read_bytes() == b"another"
        assert "counts as not built" in caplog.text
        (stored,) = store.all()
        assert stored.num_bytes == len(b"another")

    def test_another_version_of_tensorrt_has_its_own_and_it_is_told(
        self,
        runtime: RecordingOnnxRuntime,
        driver: FakeLibrary,
        store: EngineStore,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for number in (100300, 101303):
            library = SimpleNamespace(getInferLibVersion=lambda number=number: number)
            have = {"libcuda.so.1": driver, "libnvinfer.so.10": library}
            monkeypatch.setattr(ctypes, "CDLL", lambda name, have=have: have[name] if name in have else missing(name))
            TensorRtProviderRunner(GRAPH, store=store)
        here = onnxruntime.__version__
        versions = {stored.key.version for stored in store.all()}
        assert versions == {f"{here}, TensorRT 10.3.0", f"{here}, TensorRT 10.13.3"}
        words = (
            f"is for onnxruntime-tensorrt {here}, TensorRT 10.3.0 on Fake GPU; building one for {here}, TensorRT 10.13"
        )
        assert words in caplog.text

    def test_what_failed_or_was_interrupted_is_built_anew(
        self, runtime: RecordingOnnxRuntime, store: EngineStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        runtime.fails["open"] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            TensorRtProviderRunner(GRAPH, store=store)
        (folder,) = (path for path in store.folder.iterdir() if path.is_dir())
        (folder / "half.engine").touch()
        runtime.fails.clear()
        TensorRtProviderRunner(GRAPH, store=store)
        assert list(folder.iterdir()) == []
        assert len(list(store.all())) == 1
        assert "building an engine for Fake GPU" in caplog.text

    def test_the_build_is_reported(self, runtime: RecordingOnnxRuntime, store: EngineStore) -> None:
        phases: list[tuple[str, float]] = []
        TensorRtProviderRunner(GRAPH, store=store, on_progress=lambda *phase: phases.append(phase))
        assert [share for _, share in phases] == [0.0, 1.0]
        TensorRtProviderRunner(GRAPH, store=store, on_progress=lambda *phase: phases.append(phase))
        assert len(phases) == 2, "a build that is whole is none"

    def test_a_folder_that_cannot_be_written(self, runtime: RecordingOnnxRuntime, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(EngineError, match=r"engines cannot be kept: .*--engines"):
            TensorRtProviderRunner(GRAPH, store=EngineStore(tmp_path / "file"))


@pytest.mark.parametrize(
    ("backend", "kind"),
    [("onnxruntime", CudaProviderRunner), ("onnxruntime-tensorrt", TensorRtProviderRunner)],
)
def test_by_the_names_that_the_options_take(
    runtime: RecordingOnnxRuntime, store: EngineStore, monkeypatch: pytest.MonkeyPatch, backend: str, kind: type
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    runner = load_runner(GRAPH, backend=backend, device="gpu:1", store=store)
    assert isinstance(runner, kind)
    assert "gpu:1" in runner.description
