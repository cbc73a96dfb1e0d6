"""NVIDIA's driver library through ctypes: a probe of the driver, and CUDA graphs, which pycuda does not bind.

The probe takes milliseconds and imports nothing. Some of TensorRT's libraries end the process without a driver, so
`probe_driver` is called before they are loaded.

Source: CUDA Driver API, sections "Initialization", "Stream Management", "Graph Management".
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

from semlink.errors import EngineError

__all__ = ["MINIMUM_CUDA", "CudaDriver", "DriverInfo", "open_driver", "probe_driver", "require_gpu"]

MINIMUM_CUDA = (11, 4)
"""The first driver with `cuGraphInstantiateWithFlags`."""

_LIBRARY = "libcuda.so.1"
_OTHERWISE = "or choose the backend onnxruntime"
_NO_DEVICE, _DRIVER_MISMATCH = 100, 803
_NAME_BYTES = 256
_CAPTURE_THREAD_LOCAL = 1
"""Other threads may go on allocating while this one records."""

_POINTER = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[type, ...]] = {
    "cuInit": (ctypes.c_uint,),
    "cuDriverGetVersion": (ctypes.POINTER(ctypes.c_int),),
    "cuDeviceGetCount": (ctypes.POINTER(ctypes.c_int),),
    "cuDeviceGet": (ctypes.POINTER(ctypes.c_int), ctypes.c_int),
    "cuDeviceGetName": (ctypes.c_char_p, ctypes.c_int, ctypes.c_int),
    "cuCtxPopCurrent_v2": (ctypes.POINTER(_POINTER),),
    "cuGetErrorString": (ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)),
    "cuStreamBeginCapture_v2": (_POINTER, ctypes.c_int),
    "cuStreamEndCapture": (_POINTER, ctypes.POINTER(_POINTER)),
    "cuGraphInstantiateWithFlags": (ctypes.POINTER(_POINTER), _POINTER, ctypes.c_ulonglong),
    "cuGraphLaunch": (_POINTER, _POINTER),
    "cuGraphExecDestroy": (_POINTER,),
    "cuGraphDestroy": (_POINTER,),
}


@dataclass(frozen=True)
class DriverInfo:
    """Versions and devices that the driver reports.

    Attributes
    ----------
    cuda : newest CUDA that it runs, (major, minor)
    num_devices : at least 1
    """

    cuda: tuple[int, int]
    num_devices: int


class CudaDriver:
    """The driver library's calls, each of which answers with an error code, as calls that raise EngineError."""

    def __init__(self, library: ctypes.CDLL, otherwise: str = _OTHERWISE) -> None:
        self._library, self._otherwise = library, otherwise
        # A graph is launched on every call: look its function up once.
        self._launch = self._function("cuGraphLaunch")

    def _function(self, name: str) -> Callable[..., int]:
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise EngineError(
                f"the NVIDIA driver lacks {name}; update it to CUDA {_dotted(MINIMUM_CUDA)} or newer, {self._otherwise}"
            ) from None
        function.argtypes, function.restype = _SIGNATURES[name], ctypes.c_int
        return function  # type: ignore[no-any-return]  # ctypes makes functions as they are asked for

    def code(self, name: str, *arguments: object) -> int:
        """Call a function and give its error code, 0 for success."""
        return self._function(name)(*arguments)

    def call(self, name: str, *arguments: object) -> None:
        """Call a function.

        Raises
        ------
        EngineError
            With the driver's message, if it fails.
        """
        if code := self.code(name, *arguments):
            raise EngineError(f"CUDA: {name} failed: {self.words(code)}")

    def words(self, code: int) -> str:
        """The driver's message for an error code."""
        text = ctypes.c_char_p()
        self.code("cuGetErrorString", code, ctypes.byref(text))
        return f"{text.value.decode()} (error {code})" if text.value else f"error {code}"

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """Record what `work` enqueues on a stream instead of running it; return the CUDA graph that replays it.

        Raises
        ------
        EngineError
            If something in it cannot be recorded, or whatever `work` raises; the stream is usable again.
        """
        graph, executable = _POINTER(), _POINTER()
        self.call("cuStreamBeginCapture_v2", stream, _CAPTURE_THREAD_LOCAL)
        try:
            work()
        except BaseException:
            # Errors about the aborted recording are secondary; the first error is raised.
            if not self.code("cuStreamEndCapture", stream, ctypes.byref(graph)):
                self.code("cuGraphDestroy", graph)
            raise
        self.call("cuStreamEndCapture", stream, ctypes.byref(graph))
        try:
            self.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, 0)
        finally:
            self.call("cuGraphDestroy", graph)
        return int(executable.value or 0)

    def launch(self, graph: int, stream: int) -> None:
        """Replay a graph on a stream."""
        if code := self._launch(graph, stream):
            raise EngineError(f"CUDA: cuGraphLaunch failed: {self.words(code)}")

    def pop_context(self) -> None:
        """Pop the calling thread's context."""
        self.call("cuCtxPopCurrent_v2", ctypes.byref(_POINTER()))

    def destroy_graph(self, graph: int) -> None:
        """Free a graph that `capture` gave."""
        self.call("cuGraphExecDestroy", graph)


def open_driver(otherwise: str = _OTHERWISE) -> CudaDriver:
    """Load the driver library.

    Raises
    ------
    EngineError
        If there is none, or it is too old.
    """
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        raise EngineError(
            f"no NVIDIA driver here ({_LIBRARY} not found); install it, or give the container its GPUs (--gpus all),"
            f" {otherwise}"
        ) from None
    return CudaDriver(library, otherwise)


def probe_driver(minimum_cuda: tuple[int, int] = MINIMUM_CUDA, *, otherwise: str = _OTHERWISE) -> DriverInfo:
    """Check that the driver can run CUDA; call it before TensorRT or pycuda is imported.

    Parameters
    ----------
    minimum_cuda : oldest CUDA, (major, minor), that the driver must run
    otherwise : end of every message: the alternative without a GPU

    Raises
    ------
    EngineError
        If there is no driver, it does not start, is too old, or has no device.
    """
    driver = open_driver(otherwise)
    if code := driver.code("cuInit", 0):
        raise EngineError(_startup_error(code, driver.words(code), otherwise))
    version, num_devices = ctypes.c_int(), ctypes.c_int()
    driver.call("cuDriverGetVersion", ctypes.byref(version))
    driver.call("cuDeviceGetCount", ctypes.byref(num_devices))
    # 12060 is 12.6.
    cuda = (version.value // 1000, version.value % 1000 // 10)
    if cuda < minimum_cuda:
        raise EngineError(
            f"the NVIDIA driver runs CUDA {_dotted(cuda)} at most, {_dotted(minimum_cuda)} is needed;"
            f" update the driver, {otherwise}"
        )
    if not num_devices.value:
        raise EngineError(_startup_error(_NO_DEVICE, "no device", otherwise))
    return DriverInfo(cuda, num_devices.value)


def require_gpu(index: int, minimum_cuda: tuple[int, int] = MINIMUM_CUDA, *, otherwise: str = _OTHERWISE) -> str:
    """Name of a GPU, such as "NVIDIA H200".

    Parameters
    ----------
    index : in the driver's order
    minimum_cuda, otherwise : see `probe_driver`

    Raises
    ------
    EngineError
        See `probe_driver`; or there is no such GPU.
    """
    num_devices = probe_driver(minimum_cuda, otherwise=otherwise).num_devices
    if not 0 <= index < num_devices:
        raise EngineError(f"device {index} is not there; choose from 0 to {num_devices - 1}, {otherwise}")
    driver, device, name = open_driver(otherwise), ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    driver.call("cuDeviceGet", ctypes.byref(device), index)
    driver.call("cuDeviceGetName", name, _NAME_BYTES, device)
    return name.value.decode(errors="replace")


def _startup_error(code: int, words: str, otherwise: str) -> str:
    if code == _NO_DEVICE:
        return f"the NVIDIA driver sees no CUDA device; check nvidia-smi and CUDA_VISIBLE_DEVICES, {otherwise}"
    if code == _DRIVER_MISMATCH:
        return f"the NVIDIA driver was updated while loaded: {words}; restart the machine, {otherwise}"
    return f"the NVIDIA driver does not start: {words}; check nvidia-smi, {otherwise}"


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
