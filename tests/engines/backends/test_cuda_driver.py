"""The CUDA driver library, over a stand-in: what is found before any other library is loaded, and CUDA graphs."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import pytest

from engines.backends.cuda import PyCudaDevice
from engines.backends.cuda_driver import open_driver, probe_driver
from engines.backends.runner import load_runner
from semlink.errors import EngineError, MissingDependencyError
from tests.support.tensorrt_fakes import FakeLibrary

GRAPH = b"a graph"


class TestProbe:
    """Before TensorRT, whose libraries would end the process."""

    @pytest.fixture
    def no_import(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Importing either is what must not happen."""
        for name in ("tensorrt", "pycuda"):
            monkeypatch.delitem(sys.modules, name, raising=False)

        class Refuse:
            def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
                assert name.partition(".")[0] not in ("tensorrt", "pycuda"), f"{name} imported before the probe"

        monkeypatch.setattr(sys, "meta_path", [Refuse(), *sys.meta_path])

    @pytest.mark.parametrize(
        ("library", "message"),
        [
            (None, r"no NVIDIA driver here \(libcuda\.so\.1 not found\); install it, .*--gpus all.*onnxruntime"),
            (FakeLibrary(starts=100), "sees no CUDA device; check nvidia-smi and CUDA_VISIBLE_DEVICES"),
            (FakeLibrary(num_devices=0), "sees no CUDA device"),
            (FakeLibrary(starts=803), r"updated while loaded: the driver's words \(error 803\); restart the machine"),
            (FakeLibrary(starts=999), r"does not start: the driver's words \(error 999\); check nvidia-smi"),
            (FakeLibrary(cuda=10020), r"runs CUDA 10\.2 at most, 11\.4 is needed; update the driver"),
            (FakeLibrary(lacks="cuGraphLaunch"), r"lacks cuGraphLaunch; update it to CUDA 11\.4 or newer"),
        ],
    )
    @pytest.mark.parametrize("use", [lambda: load_runner(GRAPH, backend="tensorrt"), PyCudaDevice, probe_driver])
    def test_says_what_is_missing(
        self,
        monkeypatch: pytest.MonkeyPatch,
        no_import: None,
        library: FakeLibrary | None,
        message: str,
        use: Callable[[], object],
    ) -> None:
        def load(name: str) -> FakeLibrary:
            if library is None:
                raise OSError("libcuda.so.1: cannot open shared object file")
            return library

        monkeypatch.setattr(ctypes, "CDLL", load)
        with pytest.raises(EngineError, match=message) as caught:
            use()
        assert "\n" not in str(caught.value)

    def test_says_what_there_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeLibrary(cuda=13000, num_devices=2))
        assert (probe_driver().cuda, probe_driver().num_devices) == ((13, 0), 2)

    @pytest.mark.parametrize(("package", "use"), [("tensorrt", lambda: load_runner(GRAPH, backend="tensorrt"))])
    @pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed here")
    def test_a_missing_package_comes_with_its_command(
        self, monkeypatch: pytest.MonkeyPatch, package: str, use: Callable[[], object]
    ) -> None:
        monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeLibrary())
        with pytest.raises(MissingDependencyError, match=rf"needs {package}; .*\.\[tensorrt\]"):
            use()

    @pytest.mark.skipif(importlib.util.find_spec("pycuda") is not None, reason="pycuda is installed here")
    def test_a_missing_pycuda_comes_with_its_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeLibrary())
        with pytest.raises(MissingDependencyError, match=r"needs pycuda; .*\.\[tensorrt\]"):
            PyCudaDevice()
        with pytest.raises(EngineError, match="device 1 is not there; choose from 0 to 0"):
            PyCudaDevice(1)


class TestGraphs:
    """CUDA graphs through the driver library."""

    def test_recorded_and_replayed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        library = FakeLibrary()
        monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
        driver = open_driver()
        graph = driver.capture(5, lambda: library.calls.append("work"))
        driver.launch(graph, 5)
        driver.destroy_graph(graph)
        assert graph == 0xE1
        assert library.calls == [
            *("cuStreamBeginCapture_v2", "work", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"),
            *("cuGraphDestroy", "cuGraphLaunch", "cuGraphExecDestroy"),
        ]

    def test_work_that_fails_leaves_the_stream_usable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        library = FakeLibrary()
        monkeypatch.setattr(ctypes, "CDLL", lambda name: library)

        def fail() -> None:
            raise EngineError("of its own")

        with pytest.raises(EngineError, match="of its own"):
            open_driver().capture(5, fail)
        assert library.calls == ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphDestroy"]

    def test_an_error_has_the_drivers_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeLibrary(starts=719))
        with pytest.raises(EngineError, match=r"CUDA: cuGraphLaunch failed: the driver's words \(error 719\)"):
            open_driver().launch(7, 5)
