"""ONNX Runtime on a GPU: refusals, how a graph is opened and what is logged, over a build that records."""

from __future__ import annotations

import ctypes
import logging
from pathlib import Path

import pytest

from engines.backends.onnxruntime.gpu import CudaProviderRunner, TensorRtProviderRunner
from engines.backends.onnxruntime.session import onnxruntime
from engines.backends.runner import load_runner
from engines.store import EngineStore
from semlink.errors import EngineError, MissingDependencyError
from tests.support.onnxruntime_fixtures import MakeRunner, driver_fixture, make_fixture, runtime_fixture, store_fixture  # noqa: F401
from tests.support.recording_onnxruntime import CUDA, GRAPH, TENSORRT, RecordingOnnxRuntime, half_graph
from tests.support.tensorrt_fakes import FakeLibrary


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
        self, runtime: RecordingOnnxRuntime, make: MakeRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def load(name: str) -> None:
            raise OSError

        monkeypatch.setattr(ctypes, "CDLL", load)
        with pytest.raises(EngineError, match=r"^no NVIDIA driver here .*, or choose --device cpu"):
            make()
        assert runtime.calls == []

    def test_too_old_for_the_build(
        self, runtime: RecordingOnnxRuntime, make: MakeRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(onnxruntime, "cuda_version", "13.0")
        with pytest.raises(EngineError, match=r"runs CUDA 12\.6 at most, 13\.0 is needed; update the driver"):
            make()

    def test_without_that_gpu(self, runtime: RecordingOnnxRuntime, make: MakeRunner) -> None:
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

    def test_describes_itself(self, runtime: RecordingOnnxRuntime, make: MakeRunner) -> None:
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
        self, runtime: RecordingOnnxRuntime, make: MakeRunner, capfd: pytest.CaptureFixture[str]
    ) -> None:
        make()
        assert capfd.readouterr() == ("", "")
        assert runtime.named("severity") == [(4,), (2,)]
        assert runtime.named("session severity") == [(4,)]

    def test_its_log_is_left_to_who_wants_it(
        self, runtime: RecordingOnnxRuntime, make: MakeRunner, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            make()
        assert runtime.named("severity") == []
        assert runtime.named("session severity") == [(2,)]


class TestFallback:
    """ONNX Runtime goes on with the CPU by itself: never here."""

    def test_a_provider_that_is_not_loaded(self, runtime: RecordingOnnxRuntime, make: MakeRunner) -> None:
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
        make: MakeRunner,
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

    def test_a_graph_of_which_the_provider_takes_nothing(self, runtime: RecordingOnnxRuntime, make: MakeRunner) -> None:
        runtime.leaves_to_cpu = {"Cast", "Mul"}
        with pytest.raises(EngineError, match=rf"{make.provider}: it runs none of the [23] nodes"):
            make()

    def test_nodes_that_tensorrt_leaves_to_cuda_are_told(
        self, runtime: RecordingOnnxRuntime, store: EngineStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        runtime.leaves_to_cuda = {"Mul"}
        runner = TensorRtProviderRunner(GRAPH, store=store, precision="fp16")
        assert f"2 of 3 nodes in {TENSORRT}, the rest in CUDA: Mul" in caplog.text
        assert runner.description.endswith(", 2 of 3 nodes")

    def test_nodes_on_the_cpu_are_told(
        self, runtime: RecordingOnnxRuntime, make: MakeRunner, caplog: pytest.LogCaptureFixture
    ) -> None:
        runtime.leaves_to_cpu = {"Mul"}
        make()
        assert "nodes run on the CPU, because no GPU provider supports them: Mul" in caplog.text

    def test_arithmetic_of_shapes_may_stay_there(
        self, runtime: RecordingOnnxRuntime, make: MakeRunner, caplog: pytest.LogCaptureFixture
    ) -> None:
        runtime.leaves_to_cpu = {"Cast"}
        make()
        assert "on the CPU" not in caplog.text
