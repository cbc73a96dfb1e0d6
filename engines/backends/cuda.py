"""The part of CUDA that the TensorRT runner needs. The only module that imports pycuda."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from engines.backends.cuda_driver import open_driver, require_gpu
from semlink.errors import EngineError, MissingDependencyError

__all__ = ["CudaDevice", "HostBuffer", "PyCudaDevice"]

_STREAM_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: does not wait for work of other libraries on the default stream."""


@dataclass(frozen=True, eq=False)
class HostBuffer:
    """Host memory that the device can reach.

    Attributes
    ----------
    array : the memory as the host addresses it
    device_pointer : address of the same bytes on the device
    """

    array: npt.NDArray[Any]
    device_pointer: int


class CudaDevice(Protocol):
    """The CUDA calls of the runner. Streams, graphs and device memory are the driver's own handles.

    Between `push` and `pop` the device's context is the calling thread's; every method but those two, `release`
    and the properties must be called there. All raise EngineError with the driver's message.
    """

    @property
    def name(self) -> str:
        """Such as "NVIDIA H200"."""
        ...

    @property
    def is_integrated(self) -> bool:
        """Whether the device shares the host's memory, so that nothing is copied."""
        ...

    def push(self) -> None:
        """Make the device's context the calling thread's."""
        ...

    def pop(self) -> None:
        """Restore the calling thread's previous context."""
        ...

    def allocate_pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> HostBuffer:
        """Allocate host memory that is page-locked and mapped into the device's addresses."""
        ...

    def free_pinned(self, pinned: HostBuffer) -> None:
        """Free what `allocate_pinned` gave; its array must not be used again."""
        ...

    def allocate(self, num_bytes: int) -> int:
        """Allocate device memory; its address."""
        ...

    def free(self, pointer: int) -> None:
        """Free what `allocate` gave."""
        ...

    def copy_in(self, pointer: int, array: npt.NDArray[Any], stream: int) -> None:
        """Enqueue a copy from pinned host memory to the device."""
        ...

    def copy_out(self, array: npt.NDArray[Any], pointer: int, stream: int) -> None:
        """Enqueue a copy from the device to pinned host memory."""
        ...

    def create_stream(self) -> int:
        """Create a stream that the default stream does not wait for."""
        ...

    def destroy_stream(self, stream: int) -> None:
        """Destroy what `create_stream` gave."""
        ...

    def synchronize(self, stream: int) -> None:
        """Wait until all work on a stream is done."""
        ...

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """Record the work that `work` enqueues on a stream as a CUDA graph, ready to launch."""
        ...

    def launch(self, graph: int, stream: int) -> None:
        """Enqueue a CUDA graph on a stream."""
        ...

    def destroy_graph(self, graph: int) -> None:
        """Destroy what `capture` gave."""
        ...

    def elapsed_ms(self, stream: int, work: Callable[[], None]) -> float:
        """Run `work` between two events, wait for it, and return the device time between them [ms]."""
        ...

    def release(self) -> None:
        """Release the context; the last call."""
        ...


class PyCudaDevice:
    """A device by pycuda, with its primary context, which TensorRT's own runtime uses too.

    Parameters
    ----------
    index : of the device, in the driver's order

    Raises
    ------
    EngineError
        If there is no usable driver or no such device.
    MissingDependencyError
        If pycuda is not installed.
    """

    def __init__(self, index: int = 0) -> None:
        self.name = require_gpu(index)
        self._driver = open_driver()
        self._cuda = _pycuda()
        self._handles: dict[int, Any] = {}
        with self._errors():
            self._cuda.init()
            device = self._cuda.Device(index)
            self.is_integrated = bool(device.get_attribute(self._cuda.device_attribute.INTEGRATED))
            self._context = device.retain_primary_context()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._cuda.MemoryError as error:
            raise EngineError(
                f"CUDA on {self.name}: {error}; close other programs on the GPU, or load fewer models"
            ) from None
        except self._cuda.Error as error:
            raise EngineError(f"CUDA: {error}") from None

    def push(self) -> None:
        """See `CudaDevice`."""
        with self._errors():
            self._context.push()

    def pop(self) -> None:
        """See `CudaDevice`."""
        with self._errors():
            self._context.pop()

    def allocate_pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> HostBuffer:
        """See `CudaDevice`."""
        with self._errors():
            array = self._cuda.pagelocked_empty(shape, dtype, mem_flags=self._cuda.host_alloc_flags.DEVICEMAP)
            return HostBuffer(array, int(array.base.get_device_pointer()))

    def free_pinned(self, pinned: HostBuffer) -> None:
        """See `CudaDevice`."""
        with self._errors():
            pinned.array.base.free()  # type: ignore[union-attr]  # pycuda's allocation, unknown to numpy's types

    def allocate(self, num_bytes: int) -> int:
        """See `CudaDevice`."""
        with self._errors():
            memory = self._cuda.mem_alloc(num_bytes)
        self._handles[int(memory)] = memory
        return int(memory)

    def free(self, pointer: int) -> None:
        """See `CudaDevice`."""
        with self._errors():
            self._handles.pop(pointer).free()

    def copy_in(self, pointer: int, array: npt.NDArray[Any], stream: int) -> None:
        """See `CudaDevice`."""
        with self._errors():
            self._cuda.memcpy_htod_async(pointer, array, self._handles[stream])

    def copy_out(self, array: npt.NDArray[Any], pointer: int, stream: int) -> None:
        """See `CudaDevice`."""
        with self._errors():
            self._cuda.memcpy_dtoh_async(array, pointer, self._handles[stream])

    def create_stream(self) -> int:
        """See `CudaDevice`."""
        with self._errors():
            stream = self._cuda.Stream(_STREAM_NON_BLOCKING)
        self._handles[stream.handle] = stream
        return int(stream.handle)

    def destroy_stream(self, stream: int) -> None:
        """See `CudaDevice`."""
        with self._errors():
            # pycuda destroys a stream with its last reference.
            del self._handles[stream]

    def synchronize(self, stream: int) -> None:
        """See `CudaDevice`."""
        with self._errors():
            self._handles[stream].synchronize()

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """See `CudaDevice`."""
        return self._driver.capture(stream, work)

    def launch(self, graph: int, stream: int) -> None:
        """See `CudaDevice`."""
        self._driver.launch(graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """See `CudaDevice`."""
        self._driver.destroy_graph(graph)

    def elapsed_ms(self, stream: int, work: Callable[[], None]) -> float:
        """See `CudaDevice`."""
        with self._errors():
            start, end = self._cuda.Event(), self._cuda.Event()
            start.record(self._handles[stream])
            work()
            end.record(self._handles[stream])
            end.synchronize()
            return float(end.time_since(start))

    def release(self) -> None:
        """See `CudaDevice`."""
        with self._errors():
            # pycuda releases a context only while it is current, and leaves it current on the thread.
            self._context.push()
            self._driver.pop_context()
            self._context.detach()


def _pycuda() -> Any:  # a module without type hints
    try:
        import pycuda.driver
    except ModuleNotFoundError as error:
        raise MissingDependencyError.of(str(error.name), extra="tensorrt", purpose="the backend tensorrt") from None
    except ImportError as error:
        raise EngineError(f"pycuda cannot be loaded: {error}; rebuild it against this driver's CUDA") from None
    return pycuda.driver
