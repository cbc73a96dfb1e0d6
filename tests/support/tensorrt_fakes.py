"""A driver, a CUDA device and a TensorRT that record what is asked of them; for the tests beside them alone."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from engines.backends.cuda import HostBuffer
from semlink.errors import EngineError

ENGINE = b"an engine"


def no_library(name: str) -> NoReturn:
    """Stand in for `ctypes.CDLL` on a machine without the library."""
    raise OSError(f"{name}: cannot open shared object file")


class FakeLibrary:
    """libcuda.so.1 as ctypes gives it."""

    def __init__(self, *, starts: int = 0, cuda: int = 12060, num_devices: int = 1, lacks: str = "") -> None:
        self._answers = {"cuDriverGetVersion": cuda, "cuDeviceGetCount": num_devices}
        self._starts, self._lacks = starts, lacks
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name == self._lacks:
            raise AttributeError(name)

        def function(*arguments: Any) -> int:
            self.calls.append(name)
            if name in self._answers:
                arguments[0]._obj.value = self._answers[name]
            if name == "cuDeviceGetName":
                arguments[0].value = b"Fake GPU"
            if name == "cuGetErrorString":
                arguments[1]._obj.value = b"the driver's words"
            if name == "cuStreamEndCapture":
                arguments[1]._obj.value = 0x61
            if name == "cuGraphInstantiateWithFlags":
                arguments[0]._obj.value = 0xE1
            return self._starts if name in ("cuInit", "cuGraphLaunch") else 0

        setattr(self, name, function)
        return function


class FakeDevice:
    """Does on arrays what a GPU would do, and keeps a list of all that it was told, with the thread that told it."""

    name = "Fake GPU"

    def __init__(self, *, is_integrated: bool = False) -> None:
        self.is_integrated = is_integrated
        self.calls: list[str] = []
        self.depth: dict[int, int] = {}
        self.memory: dict[int, np.ndarray] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.recording: list[Callable[[], None]] | None = None
        self.refuses = ""

    def said(self, call: str, *, needs_context: bool = True) -> None:
        self.calls.append(call)
        assert not needs_context or self.depth.get(threading.get_ident(), 0) > 0, f"{call}: no context"
        if call == self.refuses:
            raise EngineError(f"CUDA: {call} failed: out of memory (error 2)")

    def on_stream(self, call: str, work: Callable[[], None]) -> None:
        self.said(call)
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def push(self) -> None:
        self.said("push", needs_context=False)
        self.depth[threading.get_ident()] = self.depth.get(threading.get_ident(), 0) + 1

    def pop(self) -> None:
        self.said("pop")
        self.depth[threading.get_ident()] -= 1

    def allocate_pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> HostBuffer:
        self.said("allocate_pinned")
        array = np.empty(shape, dtype)
        pointer = 0x1000 * len(self.calls)
        self.memory[pointer] = array
        return HostBuffer(array, pointer)

    def free_pinned(self, pinned: HostBuffer) -> None:
        self.said("free_pinned")
        del self.memory[pinned.device_pointer]

    def allocate(self, num_bytes: int) -> int:
        self.said("allocate")
        pointer = 0x1000 * len(self.calls)
        self.memory[pointer] = np.empty(num_bytes, np.uint8)
        return pointer

    def free(self, pointer: int) -> None:
        self.said("free")
        del self.memory[pointer]

    def copy_in(self, pointer: int, array: np.ndarray, stream: int) -> None:
        self.on_stream("copy_in", lambda: np.copyto(self.memory[pointer], array.reshape(-1).view(np.uint8)))

    def copy_out(self, array: np.ndarray, pointer: int, stream: int) -> None:
        self.on_stream("copy_out", lambda: np.copyto(array.reshape(-1).view(np.uint8), self.memory[pointer]))

    def create_stream(self) -> int:
        self.said("create_stream")
        return 5

    def destroy_stream(self, stream: int) -> None:
        self.said("destroy_stream")

    def synchronize(self, stream: int) -> None:
        self.said("synchronize")

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        self.said("capture")
        recording: list[Callable[[], None]] = []
        self.recording = recording
        try:
            work()
        finally:
            self.recording = None
        self.graphs[7] = recording
        return 7

    def launch(self, graph: int, stream: int) -> None:
        self.said("launch")
        for work in self.graphs[graph]:
            work()

    def destroy_graph(self, graph: int) -> None:
        self.said("destroy_graph")
        del self.graphs[graph]

    def elapsed_ms(self, stream: int, work: Callable[[], None]) -> float:
        self.said("elapsed_ms")
        work()
        return 0.25

    def release(self) -> None:
        self.said("release", needs_context=False)


class FakeTensorRt(types.ModuleType):
    """A module `tensorrt` whose one engine takes image (?, 2, 3) uint8 and gives features (?, 6) float32: the half."""

    __version__ = "10.3.0"

    def __init__(self, device: FakeDevice) -> None:
        super().__init__("tensorrt")
        self.device = device
        self.accepts = {ENGINE}
        self.executes = True
        self.shapes: dict[str, tuple[int, ...]] = {"image": (-1, 2, 3), "features": (-1, 6)}
        self.addresses: dict[str, int] = {}
        self.input_dtype = "UINT8"

        class ILogger:
            INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

        self.ILogger = ILogger
        self.TensorIOMode = types.SimpleNamespace(INPUT="in", OUTPUT="out")
        self.DataType = types.SimpleNamespace(FLOAT="FLOAT", HALF="HALF", INT8="INT8", UINT8="UINT8")

    def Runtime(self, log: Any) -> _Runtime:  # noqa: N802
        return _Runtime(self, log)


class _Part:
    """Something of TensorRT's, which says when it goes."""

    def __init__(self, trt: FakeTensorRt) -> None:
        self.trt = trt

    def __del__(self) -> None:
        self.trt.device.said(f"del {type(self).__name__.strip('_').lower()}")


class _Runtime(_Part):
    def __init__(self, trt: FakeTensorRt, log: Any) -> None:
        super().__init__(trt)
        self.log = log

    def deserialize_cuda_engine(self, engine: bytes) -> _Engine | None:
        self.trt.device.said("deserialize")
        if engine in self.trt.accepts:
            return _Engine(self.trt, self.log)
        self.log.log(self.trt.ILogger.ERROR, "magic tag\n does not match")
        return None


class _Engine(_Part):
    num_io_tensors = 2

    def __init__(self, trt: FakeTensorRt, log: Any) -> None:
        super().__init__(trt)
        self.log = log

    def get_tensor_name(self, index: int) -> str:
        return ("features", "image")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "image" else "out"

    def get_tensor_dtype(self, name: str) -> str:
        return self.trt.input_dtype if name == "image" else "FLOAT"

    def create_execution_context(self) -> _Context:
        return _Context(self.trt, self.log)


class _Context(_Part):
    def __init__(self, trt: FakeTensorRt, log: Any) -> None:
        super().__init__(trt)
        self.log = log
        self.batch = -1

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.batch = shape[0]
        return shape[0] == max(1, self.trt.shapes["image"][0])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        # A batch that the graph fixes is known from the beginning.
        batch = self.batch if self.trt.shapes[name][0] < 0 else self.trt.shapes[name][0]
        return (batch, *self.trt.shapes[name][1:])

    def set_tensor_address(self, name: str, pointer: int) -> bool:
        self.trt.device.said(f"address {name}")
        self.trt.addresses[name] = pointer
        return pointer in self.trt.device.memory

    def execute_async_v3(self, stream: int) -> bool:
        if not self.trt.executes:
            self.log.log(self.trt.ILogger.ERROR, "illegal memory access")
            return False
        memory, addresses = self.trt.device.memory, self.trt.addresses

        def halve() -> None:
            taken = memory[addresses["image"]].reshape(-1)
            memory[addresses["features"]].reshape(-1).view(np.float32)[:] = taken / 2

        self.trt.device.on_stream("execute", halve)
        return True
