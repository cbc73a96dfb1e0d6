"""Which backend and device are chosen, and what cannot be."""

from __future__ import annotations

import ctypes
import importlib.util
import logging

import pytest

from engines.backends.cuda_driver import require_gpu
from engines.backends.target import BACKENDS, CPU, Device, Target, choose_target
from semlink.errors import ConfigError, EngineError
from tests.support.tensorrt_fakes import FakeLibrary


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeLibrary(num_devices=2))


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", load)


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


@pytest.fixture
def no_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize("text", ["cpu", "gpu:0", "gpu:7", "gpu:9999"])
def test_a_device_is_written_as_it_is_read(text: str) -> None:
    assert str(Device.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "CPU", "cuda", "gpu:", "gpu:-1", "gpu:1.0", "gpu:12345", "gpu:1\n", "cpu:0", "gpu:²"]
)
def test_no_device_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not known; choose from: auto, cpu, gpu, gpu:N"):
        choose_target("onnxruntime", text, is_one_image=True)


@pytest.mark.parametrize(
    ("backend", "device", "target"),
    [
        ("onnxruntime", "cpu", Target("onnxruntime", CPU)),
        ("onnxruntime", "gpu", Target("onnxruntime", Device(0))),
        ("onnxruntime-tensorrt", "auto", Target("onnxruntime-tensorrt", Device(0))),
        ("tensorrt", "auto", Target("tensorrt", Device(0))),
        ("tensorrt", "gpu:1", Target("tensorrt", Device(1))),
    ],
)
def test_what_is_named_is_taken(backend: str, device: str, target: Target) -> None:
    """Whatever this machine has: loading says what is missing, and nothing is chosen in its place."""
    assert choose_target(backend, device, is_one_image=True) == target
    assert choose_target(target.backend, str(target.device), is_one_image=False) == target


def test_no_backend_is_a_wrong_option() -> None:
    with pytest.raises(
        ConfigError, match=r'^backend "openvino" is not known; choose from: auto, onnxruntime'
    ) as caught:
        choose_target("openvino", is_one_image=True)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("backend", [name for name, backend in BACKENDS.items() if not backend.on_cpu])
def test_what_a_cpu_cannot_run_is_one_line(backend: str) -> None:
    with pytest.raises(ConfigError, match=rf"^backend {backend} runs on a GPU only: choose --device gpu, or"):
        choose_target(backend, "cpu", is_one_image=True)


def test_onnx_runtime_stays_on_the_cpu_unless_told(
    driver: None, tensorrt: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="engines.backends.target"):
        assert choose_target("onnxruntime", is_one_image=True) == Target("onnxruntime", CPU)
    assert "device auto: chose cpu (onnxruntime runs there; --device gpu is its CUDA provider)" in caplog.text


def chosen(caplog: pytest.LogCaptureFixture, device: str = "auto", *, is_one_image: bool = True) -> tuple[str, str]:
    """What "auto" takes, and what it logs."""
    with caplog.at_level(logging.INFO, logger="engines.backends.target"):
        target = choose_target("auto", device, is_one_image=is_one_image)
    assert f"backend auto: chose {target} (" in caplog.text
    return str(target), caplog.text


class TestAuto:
    def test_takes_tensorrt_where_it_runs(self, driver: None, tensorrt: None, caplog: pytest.LogCaptureFixture) -> None:
        target, words = chosen(caplog)
        assert (target, "CUDA 12.6" in words) == ("tensorrt on gpu:0", True)

    def test_takes_it_on_the_gpu_that_is_named(
        self, driver: None, tensorrt: None, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert chosen(caplog, "gpu:1")[0] == "tensorrt on gpu:1"

    def test_stays_on_a_cpu_that_is_named(self, driver: None, tensorrt: None, caplog: pytest.LogCaptureFixture) -> None:
        assert chosen(caplog, "cpu")[0] == "onnxruntime on cpu"

    def test_takes_the_cpu_where_there_is_no_driver(
        self, no_driver: None, tensorrt: None, caplog: pytest.LogCaptureFixture
    ) -> None:
        target, words = chosen(caplog)
        assert (target, "no NVIDIA driver here" in words) == ("onnxruntime on cpu", True)

    def test_takes_the_cpu_for_any_batch(self, driver: None, tensorrt: None, caplog: pytest.LogCaptureFixture) -> None:
        target, words = chosen(caplog, is_one_image=False)
        assert (target, "any batch" in words) == ("onnxruntime on cpu", True)

    @pytest.mark.parametrize(("device", "expected"), [("auto", "cpu"), ("gpu:1", "gpu:1")])
    def test_takes_onnx_runtime_where_there_is_no_tensorrt(
        self, driver: None, no_tensorrt: None, caplog: pytest.LogCaptureFixture, device: str, expected: str
    ) -> None:
        target, words = chosen(caplog, device)
        assert (target, "no tensorrt and no pycuda here" in words) == (f"onnxruntime on {expected}", True)

    def test_takes_no_cpu_for_a_gpu_that_is_named(self, no_driver: None, tensorrt: None) -> None:
        with pytest.raises(EngineError, match=r"no NVIDIA driver here .*or choose --device cpu"):
            choose_target("auto", "gpu", is_one_image=True)


class TestGpu:
    def test_has_a_name(self, driver: None) -> None:
        assert require_gpu(1) == "Fake GPU"

    def test_that_is_not_there_is_one_line(self, driver: None) -> None:
        with pytest.raises(EngineError, match=r"^device 2 is not there; choose from 0 to 1"):
            require_gpu(2)
