"""ONNX Runtime on a GPU: what is refused by the build that is here, and every step over one that records."""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import onnx.parser
import onnxruntime
import pytest
from recording_onnxruntime import RecordingOnnxRuntime
from tensorrt_fakes import FakeLibrary

from engines.engine_store import EngineStore
from engines.onnxruntime_gpu import CudaProviderRunner, TensorRtProviderRunner
from engines.runner import GraphRunner, load_runner
from semlink.errors import EngineError, MissingDependencyError

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
PICTURE = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
HALF = np.arange(6, dtype=np.float32).reshape(1, 2, 3) / 2


def half_graph(batch: str = "batch", *, width: str = "3", half: float = 0.5) -> bytes:
    return onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 18]>
        halves (uint8[{batch}, 2, {width}] image) => (float[{batch}, 2, {width}] features) <float half = {{{half}}}>
        {{ real = Cast <to = 1> (image)
           features = Mul (real, half) }}
    """).SerializeToString()


GRAPH = half_graph()


def missing(name: str) -> NoReturn:
    raise OSError(f"{name}: cannot open shared object file: No such file or directory")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    """A driver with two GPUs, and no other library."""
    library = FakeLibrary(num_devices=2)

    def load(name: str) -> FakeLibrary:
        return library if name.startswith("libcuda.") else missing(name)

    monkeypatch.setattr(ctypes, "CDLL", load)
    return library


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch, driver: FakeLibrary) -> RecordingOnnxRuntime:
    """A build for GPUs whose providers load."""
    recording = RecordingOnnxRuntime()
    recording.install(monkeypatch)
    return recording


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


@pytest.fixture(params=[CUDA, TENSORRT])
def make(request: pytest.FixtureRequest, store: EngineStore) -> Callable[..., Any]:
    """Either runner."""

    def made(graph: bytes = GRAPH, **settings: Any) -> GraphRunner:
        if request.param == CUDA:
            return CudaProviderRunner(graph, **settings)
        return TensorRtProviderRunner(graph, store=store, **settings)

    made.provider = request.param
    return made


@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="ONNX Runtime here is built for GPUs")
class TestTheBuildForCpus:
    @pytest.mark.parametrize(("backend", "provider"), [("onnxruntime", CUDA), ("onnxruntime-tensorrt", TENSORRT)])
    def test_names_the_package_to_install(self, backend: str, provider: str) -> None:
        with pytest.raises(
            MissingDependencyError, match=rf"built without {provider} .*pip install .*onnxruntime-gpu.*--device cpu"
        ) as caught:
            load_runner(GRAPH, backend=backend, device="gpu")
        assert "\n" not in str(caught.value)


class TestTheDriver:
    def test_none_is_one_line(
        self, runtime: RecordingOnnxRuntime, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def load(name: str) -> None:
            raise OSError

        monkeypatch.setattr(ctypes, "CDLL", load)
        with pytest.raises(EngineError, match=r"^no NVIDIA driver here .*, or choose --device cpu"):
            make()
        assert runtime.calls == []

    def test_too_old_for_the_build(
        self, runtime: RecordingOnnxRuntime, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(onnxruntime, "cuda_version", "13.0")
        with pytest.raises(EngineError, match=r"runs CUDA 12\.6 at most, 13\.0 is needed; update the driver"):
            make()

    def test_without_that_gpu(self, runtime: RecordingOnnxRuntime, make: Callable[..., Any]) -> None:
        with pytest.raises(EngineError, match=r"device 2 is not there; choose from 0 to 1"):
            make(device_index=2)


class TestOpening:
    def test_cuda_gets_the_gpu_and_full_single_precision(self, runtime: RecordingOnnxRuntime) -> None:
        CudaProviderRunner(GRAPH, device_index=1)
        assert runtime.named("open") == [([(CUDA, {"device_id": "1", "use_tf32": "0"})], 0)]

    def test_tensorrt_gets_a_folder_of_the_graphs_own(self, runtime: RecordingOnnxRuntime, store: EngineStore) -> None:
        """Its cache takes two graphs of the same nodes for one. No precision is named, for the graph has its own."""
        for half in (0.5, 0.25):
            TensorRtProviderRunner(half_graph(half=half), store=store, device_index=1)
        folders = []
        for (tensorrt, cuda), fallback in runtime.named("open"):
            assert (tensorrt[0], cuda[0], fallback) == (TENSORRT, CUDA, 0)
            options = tensorrt[1]
            assert (options["device_id"], cuda[1]["device_id"]) == ("1", "1")
            assert not {"trt_fp16_enable", "trt_int8_enable", "trt_bf16_enable"} & options.keys()
            assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "True"
            assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"]
            folders.append(Path(options["trt_engine_cache_path"]))
        assert len(set(folders)) == 2
        assert all(folder.parent == store.folder and folder.with_suffix(".json").exists() for folder in folders)

    def test_describes_itself(self, runtime: RecordingOnnxRuntime, make: Callable[..., Any]) -> None:
        runner = make(precision="fp16", device_index=1)
        expected = f"onnxruntime {onnxruntime.__version__} {make.provider}, Fake GPU (gpu:1), fp16, "
        num_nodes = {CUDA: 2, TENSORRT: 3}[make.provider]  # a weight that is unpacked for TensorRT
        assert runner.description == f"{expected}{num_nodes} of {num_nodes} nodes"

    @pytest.mark.parametrize(
        ("precision", "override", "is_told"),
        [("fp32", None, True), ("fp32", "1", True), ("fp32", "0", False), ("fp16", None, False)],
    )
    def test_tf32_that_is_not_forbidden_is_told(
        self,
        runtime: RecordingOnnxRuntime,
        store: EngineStore,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        precision: str,
        override: str | None,
        is_told: bool,
    ) -> None:
        """ONNX Runtime's TensorRT provider has no option for it; its CUDA provider has one, and it is used."""
        monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
        if override is not None:
            monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", override)
        runner = TensorRtProviderRunner(GRAPH, store=store, precision=precision)
        assert runner.description.endswith(", TF32 allowed") is is_told
        assert caplog.text.count("NVIDIA_TF32_OVERRIDE=0 in the environment forbids it") == is_told
        assert "TF32" not in CudaProviderRunner(GRAPH).description

    def test_nothing_is_printed_and_its_log_is_restored(
        self, runtime: RecordingOnnxRuntime, make: Callable[..., Any], capfd: pytest.CaptureFixture[str]
    ) -> None:
        make()
        assert capfd.readouterr() == ("", "")
        assert runtime.named("severity") == [(4,), (2,)]
        assert runtime.named("session severity") == [(4,)]

    def test_its_log_is_left_to_who_wants_it(
        self, runtime: RecordingOnnxRuntime, make: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            make()
        assert runtime.named("severity") == []
        assert runtime.named("session severity") == [(2,)]


class TestFallback:
    """ONNX Runtime goes on with the CPU by itself: never here."""

    def test_a_provider_that_is_not_loaded(self, runtime: RecordingOnnxRuntime, make: Callable[..., Any]) -> None:
        runtime.loads = ()
        with pytest.raises(
            EngineError, match=rf"does not run it in {make.provider}: it would run in CPUExec.*semlink -v"
        ):
            make()

    @pytest.mark.parametrize(
        ("library", "fix"),
        [("libcublasLt.so.13", r"onnxruntime-gpu\[cuda,cudnn\]"), ("libnvinfer.so.10", "TensorRT that has it")],
    )
    def test_a_library_that_is_missing_is_named(
        self,
        runtime: RecordingOnnxRuntime,
        driver: FakeLibrary,
        make: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
        library: str,
        fix: str,
    ) -> None:
        def load(name: str) -> FakeLibrary:
            if name.startswith("libcuda."):
                return driver
            assert Path(name).parent == Path(onnxruntime.__file__).parent / "capi"
            raise OSError(f"{library}: cannot open shared object file: No such file or directory")

        monkeypatch.setattr(ctypes, "CDLL", load)
        words = rf"{make.provider} of onnxruntime \S+ cannot be loaded: {library}: cannot open .*install .*{fix}"
        with pytest.raises(MissingDependencyError, match=words):
            make()
        assert runtime.named("open") == []

    def test_a_graph_of_which_the_provider_takes_nothing(
        self, runtime: RecordingOnnxRuntime, make: Callable[..., Any]
    ) -> None:
        runtime.leaves_to_cpu = {"Cast", "Mul"}
        with pytest.raises(EngineError, match=rf"{make.provider}: it takes none of the [23] nodes"):
            make()

    def test_nodes_that_tensorrt_leaves_to_cuda_are_told(
        self, runtime: RecordingOnnxRuntime, store: EngineStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        runtime.leaves_to_cuda = {"Mul"}
        runner = TensorRtProviderRunner(GRAPH, store=store, precision="fp16")
        assert f"2 of 3 nodes in {TENSORRT}, the rest in CUDA: Mul" in caplog.text
        assert runner.description.endswith(", 2 of 3 nodes")

    def test_nodes_on_the_cpu_are_told(
        self, runtime: RecordingOnnxRuntime, make: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        runtime.leaves_to_cpu = {"Mul"}
        make()
        assert "nodes run on the CPU, for no provider of the GPU has them: Mul" in caplog.text

    def test_arithmetic_of_shapes_may_stay_there(
        self, runtime: RecordingOnnxRuntime, make: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        runtime.leaves_to_cpu = {"Cast"}
        make()
        assert "on the CPU" not in caplog.text


class TestRunning:
    def test_one_image_goes_through_buffers_that_are_bound_once(
        self, runtime: RecordingOnnxRuntime, make: Callable[..., Any]
    ) -> None:
        runner = make(device_index=1)
        assert runtime.named("allocate") == [((1, 2, 3), "uint8", "cuda", 1), ((1, 2, 3), "float32", "cuda", 1)]
        runtime.calls.clear()
        first, second = runner(PICTURE), runner(PICTURE + 2)
        np.testing.assert_array_equal(first, HALF)
        np.testing.assert_array_equal(second, HALF + 1)
        assert runtime.calls == [("copy in",), ("run bound",), ("copy out",)] * 2

    def test_it_has_run_before_the_first_image(self, runtime: RecordingOnnxRuntime, make: Callable[..., Any]) -> None:
        make()
        assert runtime.calls[-3:] == [("copy in",), ("run bound",), ("copy out",)]

    def test_strided_input(self, runtime: RecordingOnnxRuntime, make: Callable[..., Any]) -> None:
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

    def test_threads_wait_for_one_another(self, runtime: RecordingOnnxRuntime, make: Callable[..., Any]) -> None:
        runner, wrong = make(), []

        def use(value: int) -> None:
            results = [runner(np.full((1, 2, 3), value, np.uint8)) for _ in range(50)]
            wrong.extend(result for result in results if not (result == value / 2).all())

        threads = [threading.Thread(target=use, args=(value,)) for value in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


class TestMemory:
    WORDS = "CUDA failure 2: out of memory ; GPU=0 ; hostname=h\nin file cuda_call.cc"

    @pytest.mark.parametrize(
        ("when", "failure"),
        [("open", "cannot load it"), ("allocate", "cannot hold a picture on the GPU"), ("run bound", "cannot run it")],
    )
    def test_too_small_is_one_line_with_its_words(
        self, runtime: RecordingOnnxRuntime, make: Callable[..., Any], when: str, failure: str
    ) -> None:
        runtime.fails[when] = RuntimeError(self.WORDS)
        with pytest.raises(EngineError, match=rf"ONNX Runtime {failure}: CUDA failure 2: out of memory .*; close what"):
            make()
        del runtime.fails[when]
        np.testing.assert_array_equal(make()(PICTURE), HALF)

    def test_that_runs_out_later_leaves_a_runner_that_runs(
        self, runtime: RecordingOnnxRuntime, make: Callable[..., Any]
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
        TensorRtProviderRunner(GRAPH, store=store, anew=True)
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
        told: list[tuple[str, float]] = []
        TensorRtProviderRunner(GRAPH, store=store, report=lambda *phase: told.append(phase))
        assert [share for _, share in told] == [0.0, 1.0]
        TensorRtProviderRunner(GRAPH, store=store, report=lambda *phase: told.append(phase))
        assert len(told) == 2, "a build that is whole is none"

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
