"""An engine with its buffers, stream and execution context, and its call as a CUDA graph."""

from __future__ import annotations

import contextlib
from types import ModuleType
from typing import Any

import numpy as np

from engines.backends.cuda import CudaDevice, HostBuffer
from engines.backends.runner import TensorSpec
from engines.backends.tensorrt.builder import tensorrt_log
from semlink.errors import EngineError

__all__ = ["TensorRtSession"]


class TensorRtSession:
    """An engine and the resources that are freed with it, in reverse order of creation.

    All methods but `close` need the device's context to be current. No other object refers to its resources: TensorRT
    frees an object with its last reference, which must be before the context.

    Parameters
    ----------
    trt : TensorRT
    device : device that the session owns and `close` releases

    Attributes
    ----------
    input, output : of the graph, with the batch axis 1 unless the graph fixes another
    input_buffer, output_buffer : host memory of a call's input and output
    stream : CUDA stream of all work
    log : TensorRT's logger
    """

    input: TensorSpec
    output: TensorSpec
    input_buffer: HostBuffer
    output_buffer: HostBuffer

    def __init__(self, trt: ModuleType, device: CudaDevice) -> None:
        self._trt, self._device = trt, device
        self.log = tensorrt_log(trt)
        self.stream = 0
        self._graph: int | None = None
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._pointers: tuple[int, int] = (0, 0)
        self._stays_on_device = False
        self._undo = contextlib.ExitStack()

    def deserialize(self, engine: bytes) -> bool:
        """Load an engine; False if TensorRT refuses it."""
        if self._runtime is None:
            try:
                self._runtime = self._trt.Runtime(self.log)
            # The bindings raise TypeError for a null pointer.
            except TypeError:
                raise EngineError(f"TensorRT does not start: {self.log.take_error()}") from None
            self._undo.callback(setattr, self, "_runtime", None)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        self._undo.callback(setattr, self, "_engine", None)
        return self._engine is not None

    def make_ready(self, *, use_cuda_graph: bool, stays_on_device: bool = False) -> None:
        """Allocate everything, run once, and record the call; `stays_on_device` leaves out the copy to the host."""
        self._stays_on_device = stays_on_device
        self._context = self._engine.create_execution_context()
        self._undo.callback(setattr, self, "_context", None)
        if self._context is None:
            raise EngineError(f"TensorRT cannot run the engine: {self.log.take_error()}")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        self.input = self._tensor(names, self._trt.TensorIOMode.INPUT)
        self._must(self._context.set_input_shape(self.input.name, self.input.shape))
        self.output = self._tensor(names, self._trt.TensorIOMode.OUTPUT)
        self.input_buffer, input_pointer = self._buffer(self.input)
        self.output_buffer, output_pointer = self._buffer(self.output)
        self._pointers = (input_pointer, output_pointer)
        self._must(self._context.set_tensor_address(self.input.name, input_pointer))
        self._must(self._context.set_tensor_address(self.output.name, output_pointer))
        self.stream = self._device.create_stream()
        self._undo.callback(self._device.destroy_stream, self.stream)
        # TensorRT initialises lazily; the first run keeps that out of the recording.
        self.input_buffer.array.fill(0)
        self.run()
        if use_cuda_graph:
            self._graph = self._device.capture(self.stream, self._enqueue)
            self._undo.callback(self._device.destroy_graph, self._graph)

    @property
    def output_pointer(self) -> int:
        """Device address of the output."""
        return self._pointers[1]

    def run(self) -> None:
        """Run one call, from pinned memory to pinned memory, and wait for it."""
        self.enqueue()
        self._device.synchronize(self.stream)

    def enqueue(self) -> None:
        """Enqueue the work of one call on the stream."""
        if self._graph is None:
            self._enqueue()
        else:
            self._device.launch(self._graph, self.stream)

    def _enqueue(self) -> None:
        is_copied = not self._device.is_integrated
        if is_copied:
            self._device.copy_in(self._pointers[0], self.input_buffer.array, self.stream)
        self._must(self._context.execute_async_v3(self.stream))
        if is_copied and not self._stays_on_device:
            self._device.copy_out(self.output_buffer.array, self._pointers[1], self.stream)

    def _tensor(self, names: list[str], mode: Any) -> TensorSpec:
        (name,) = (name for name in names if self._engine.get_tensor_mode(name) == mode)
        types = self._trt.DataType
        dtypes = {types.FLOAT: np.float32, types.HALF: np.float16, types.INT8: np.int8, types.UINT8: np.uint8}
        kind = self._engine.get_tensor_dtype(name)
        if kind not in dtypes:
            raise EngineError(f"{name} is a {kind}, which the link does not use")
        shape = tuple(int(axis) for axis in self._context.get_tensor_shape(name))
        if mode == self._trt.TensorIOMode.INPUT:
            # A free batch axis becomes 1; a fixed one stays.
            shape = (max(1, shape[0]), *shape[1:])
        # The context knows the output's shape once it knows the input's.
        if min(shape, default=1) < 0:
            raise EngineError(f"{name} is of a size that depends on the image: {shape}; buffers have a fixed size")
        return TensorSpec(name, np.dtype(dtypes[kind]), shape)

    def _buffer(self, spec: TensorSpec) -> tuple[HostBuffer, int]:
        """Host memory of a tensor, and the address that the engine uses for it."""
        shape = tuple(axis or 1 for axis in spec.shape)
        pinned = self._device.allocate_pinned(shape, spec.dtype)
        self._undo.callback(self._device.free_pinned, pinned)
        if self._device.is_integrated:
            return pinned, pinned.device_pointer
        pointer = self._device.allocate(pinned.array.nbytes)
        self._undo.callback(self._device.free, pointer)
        return pinned, pointer

    def _must(self, success: bool) -> None:
        if not success:
            raise EngineError(f"TensorRT cannot run the engine: {self.log.take_error()}")

    def close(self) -> None:
        """Free everything; any thread may call it."""
        try:
            self._device.push()
            try:
                self._undo.close()
            finally:
                self._device.pop()
        finally:
            self._device.release()
