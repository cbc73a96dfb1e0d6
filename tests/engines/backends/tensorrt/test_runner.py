"""The TensorRT runner's every step, on a device that records: no GPU, no TensorRT."""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.backends.runner import require_backend
from engines.backends.target import Device, Target
from engines.backends.tensorrt import runner as tensorrt_runner
from engines.backends.tensorrt.runner import TensorRtRunner
from engines.store import EngineStore
from semlink.errors import EngineError
from tests.support.tensorrt_fakes import ENGINE, FakeDevice, FakeLibrary, FakeTensorRt

GRAPH = b"a graph"
PICTURE = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
HALF = np.arange(6, dtype=np.float32).reshape(1, 6) / 2


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, device: FakeDevice) -> FakeTensorRt:
    """A TensorRT to import, and a driver that vouches for it."""
    module = FakeTensorRt(device)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeLibrary())
    return module


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The graphs that were built; each becomes ENGINE."""
    graphs: list[bytes] = []

    def build(graph: bytes, **settings: Any) -> bytes:
        graphs.append(graph)
        return ENGINE

    monkeypatch.setattr(tensorrt_runner, "build_engine", build)
    return graphs


@pytest.fixture
def make(trt: FakeTensorRt, device: FakeDevice, builds: list[bytes], tmp_path: Path) -> Callable[..., TensorRtRunner]:
    return lambda **settings: TensorRtRunner(GRAPH, store=EngineStore(tmp_path), cuda=device, **settings)


class TestRunning:
    def test_computes_what_the_engine_does(self, make: Callable[..., TensorRtRunner]) -> None:
        with make() as runner:
            assert str(runner.input) == "image: uint8 (1, 2, 3)"
            assert str(runner.output) == "features: float32 (1, 6)"
            assert runner.description == "tensorrt 10.3.0, Fake GPU, fp32, CUDA graph"
            np.testing.assert_array_equal(runner(PICTURE), HALF)
            np.testing.assert_array_equal(runner(2 * PICTURE), 2 * HALF)

    def test_a_result_is_the_callers_own(self, make: Callable[..., TensorRtRunner]) -> None:
        with make() as runner:
            first = runner(PICTURE)
            runner(2 * PICTURE)
            np.testing.assert_array_equal(first, HALF)

    def test_all_is_allocated_and_recorded_once(self, make: Callable[..., TensorRtRunner], device: FakeDevice) -> None:
        with make() as runner:
            assert [device.calls.count(call) for call in ("allocate_pinned", "allocate", "capture")] == [2, 2, 1]
            assert [call for call in device.calls if call.startswith("address")] == [
                "address image",
                "address features",
            ]
            # TensorRT must have run once before it is recorded.
            assert device.calls.index("execute") < device.calls.index("capture")
            device.calls.clear()
            runner(PICTURE)
            runner(PICTURE)
            assert device.calls == ["push", "launch", "synchronize", "pop"] * 2

    def test_an_integrated_gpu_copies_nothing(self, make: Callable[..., TensorRtRunner], device: FakeDevice) -> None:
        device.is_integrated = True
        with make() as runner:
            np.testing.assert_array_equal(runner(PICTURE), HALF)
            assert not {"allocate", "copy_in", "copy_out"} & set(device.calls)

    def test_without_a_cuda_graph(self, make: Callable[..., TensorRtRunner], device: FakeDevice) -> None:
        with make(use_cuda_graph=False) as runner:
            device.calls.clear()
            np.testing.assert_array_equal(runner(PICTURE), HALF)
            assert device.calls == ["push", "copy_in", "execute", "copy_out", "synchronize", "pop"]

    @pytest.mark.parametrize("use_cuda_graph", [True, False])
    @pytest.mark.parametrize("is_integrated", [True, False])
    def test_a_result_that_stays_on_the_device(
        self, make: Callable[..., TensorRtRunner], device: FakeDevice, use_cuda_graph: bool, is_integrated: bool
    ) -> None:
        device.is_integrated = is_integrated
        with make(stays_on_device=True, use_cuda_graph=use_cuda_graph) as runner:
            device.calls.clear()
            for times in (1, 2):
                result = runner.on_device((times * PICTURE).astype(np.uint8))
                assert result.shape == (1, 6)
                held = device.memory[result.pointer].reshape(-1).view(np.float32).reshape(result.shape)
                np.testing.assert_array_equal(held, times * HALF)
            # It is waited for, and nothing comes back.
            assert device.calls.count("synchronize") == 2
            assert "copy_out" not in device.calls
            with pytest.raises(EngineError, match="the result stays on the device; ask for it with on_device"):
                runner(PICTURE)

    def test_a_result_that_comes_back_is_not_on_the_device(self, make: Callable[..., TensorRtRunner]) -> None:
        with make() as runner, pytest.raises(EngineError, match="only a float32 result that stays on the device"):
            runner.on_device(PICTURE)

    def test_a_batch_that_the_graph_fixes(
        self, make: Callable[..., TensorRtRunner], device: FakeDevice, trt: FakeTensorRt
    ) -> None:
        trt.shapes = {"image": (4, 2, 3), "features": (4, 6)}
        pictures = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
        with make() as runner:
            assert (runner.input.shape, runner.output.shape) == ((4, 2, 3), (4, 6))
            np.testing.assert_array_equal(runner(pictures), pictures.reshape(4, 6) / 2)
            with pytest.raises(EngineError, match=r"input expects image: uint8 \(4, 2, 3\)"):
                runner(PICTURE)
        with make(stays_on_device=True) as runner:
            assert runner.on_device(pictures).rows(3).shape == (3, 6)

    def test_time_on_the_device(self, make: Callable[..., TensorRtRunner]) -> None:
        with make() as runner:
            assert runner.device_ms(PICTURE) == 0.25

    def test_from_another_thread(self, make: Callable[..., TensorRtRunner], device: FakeDevice) -> None:
        """The fake refuses, as CUDA does, what a thread without the context asks."""
        results: list[np.ndarray] = []
        with make() as runner:
            device.calls.clear()
            thread = threading.Thread(target=lambda: results.append(runner(PICTURE)))
            thread.start()
            thread.join()
            np.testing.assert_array_equal(results[0], HALF)
            assert device.calls == ["push", "launch", "synchronize", "pop"]
        assert set(device.depth.values()) == {0}


class TestTearingDown:
    ORDER = (
        *("push", "destroy_graph", "destroy_stream", "free", "free_pinned", "free", "free_pinned"),
        *("del context", "del engine", "del runtime", "pop", "release"),
    )

    def test_in_order_and_once(self, make: Callable[..., TensorRtRunner], device: FakeDevice) -> None:
        runner = make()
        device.calls.clear()
        runner.close()
        runner.close()
        assert device.calls == list(self.ORDER)
        with pytest.raises(EngineError, match="composed graph: the runner is closed"):
            runner(PICTURE)

    def test_by_the_garbage_collector(self, make: Callable[..., TensorRtRunner], device: FakeDevice) -> None:
        runner = make()
        device.calls.clear()
        del runner
        gc.collect()
        assert device.calls == list(self.ORDER)

    def test_from_another_thread(self, make: Callable[..., TensorRtRunner], device: FakeDevice) -> None:
        runner = make()
        device.calls.clear()
        thread = threading.Thread(target=runner.close)
        thread.start()
        thread.join()
        assert device.calls == list(self.ORDER)

    @pytest.mark.parametrize("step", ["allocate_pinned", "allocate", "create_stream", "capture"])
    def test_what_fails_half_way_is_freed(
        self, make: Callable[..., TensorRtRunner], device: FakeDevice, step: str
    ) -> None:
        device.refuses = step
        with pytest.raises(EngineError, match=f"^composed graph: CUDA: {step} failed: out of memory"):
            make()
        assert device.memory == {}
        assert device.graphs == {}
        assert device.calls[-2:] == ["pop", "release"]
        assert device.calls.count("create_stream") - (step == "create_stream") == device.calls.count("destroy_stream")


class TestBadInput:
    @pytest.mark.parametrize(
        "tensor",
        [PICTURE.astype(np.float32), np.zeros((2, 2, 3), np.uint8), np.zeros((0, 2, 3), np.uint8), PICTURE[0]],
        ids=["dtype", "batch", "empty", "axes"],
    )
    def test_is_refused_by_name(
        self, make: Callable[..., TensorRtRunner], device: FakeDevice, tensor: np.ndarray
    ) -> None:
        with make() as runner:
            device.calls.clear()
            with pytest.raises(EngineError, match=r"input expects image: uint8 \(1, 2, 3\), received"):
                runner(tensor)
            assert device.calls == []

    def test_what_tensorrt_cannot_run(self, make: Callable[..., TensorRtRunner], trt: FakeTensorRt) -> None:
        trt.executes = False
        with pytest.raises(EngineError, match="composed graph: TensorRT cannot run the engine: illegal memory access"):
            make()

    def test_a_type_that_the_link_does_not_use(self, make: Callable[..., TensorRtRunner], trt: FakeTensorRt) -> None:
        trt.input_dtype = "INT64"
        with pytest.raises(EngineError, match="image is a INT64, which the link does not use"):
            make()

    def test_a_missing_file(self, trt: FakeTensorRt, device: FakeDevice, tmp_path: Path) -> None:
        with pytest.raises(EngineError, match=r"none\.onnx: No such file"):
            TensorRtRunner(tmp_path / "none.onnx", cuda=device)

    def test_threads(self, make: Callable[..., TensorRtRunner]) -> None:
        with pytest.raises(EngineError, match="num_threads must be at least 1, got 0"):
            make(num_threads=0)


class TestEngines:
    def test_are_built_once(self, make: Callable[..., TensorRtRunner], builds: list[bytes], tmp_path: Path) -> None:
        make().close()
        make().close()
        assert builds == [GRAPH]
        (stored,) = EngineStore(tmp_path).all()
        assert (stored.key.backend, stored.key.version, stored.key.device) == ("tensorrt", "10.3.0", "Fake GPU")
        assert require_backend(Target("tensorrt", Device(0))) == stored.key.version

    def test_of_another_precision_are_others(self, make: Callable[..., TensorRtRunner], builds: list[bytes]) -> None:
        make().close()
        make(precision="fp16").close()
        assert len(builds) == 2

    def test_that_tensorrt_refuses_are_rebuilt(
        self,
        make: Callable[..., TensorRtRunner],
        builds: list[bytes],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(tensorrt_runner, "build_engine", lambda graph, **settings: b"of another machine")
            with pytest.raises(EngineError, match="cannot load the engine that it has just built: magic tag does not"):
                make()
        with caplog.at_level(logging.WARNING), make() as runner:
            np.testing.assert_array_equal(runner(PICTURE), HALF)
        assert "TensorRT refuses it (magic tag does not match); rebuilding it" in caplog.text
        assert builds == [GRAPH]
