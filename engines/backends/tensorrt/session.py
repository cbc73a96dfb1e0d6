"""An engine made ready to run: its buffers, one stream, one execution context, and the call as a CUDA graph."""

from __future__ import annotations

import contextlib
from types import ModuleType
from typing import Any

import numpy as np

from engines.backends.cuda import CudaDevice, PinnedArray
from engines.backends.runner import TensorSpec
from engines.backends.tensorrt.builder import tensorrt_log
from semlink.errors import EngineError

__all__ = ["TensorRtSession"]


class TensorRtSession:
    """An engine, and all that must be freed with it, in the order opposite to that of its making.

    Its methods but `close` want the device's context to be current. Nothing outside holds what it holds: TensorRT's
    objects go when the last reference does, and must go before the context.

    Parameters
    ----------
    trt : TensorRT
    device : where it runs; the session's own, which `close` releases

    Attributes
    ----------
    input, output : of the graph, with the batch axis 1 unless the graph fixes another
    taken, given : where a call's input is put, and its output found
    stream : where all of it runs
    log : TensorRT's
    """

    input: TensorSpec
    output: TensorSpec
    taken: PinnedArray
    given: PinnedArray

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
            # The bindings' own word for a null pointer.
            except TypeError:
                raise EngineError(f"TensorRT does not start: {self.log.take_error()}") from None
            self._undo.callback(setattr, self, "_runtime", None)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        self._undo.callback(setattr, self, "_engine", None)
        return self._engine is not None

    def make_ready(self, *, use_cuda_graph: bool, stays_on_device: bool = False) -> None:
        """Allocate everything, run once, and record the call; the output need not come back to the host."""
        self._stays_on_device = stays_on_device
        self._context = self._engine.create_execution_context()
        self._undo.callback(setattr, self, "_context", None)
        if self._context is None:
            raise EngineError(f"TensorRT cannot run the engine: {self.log.take_error()}")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        self.input = self._tensor(names, self._trt.TensorIOMode.INPUT)
        self._must(self._context.set_input_shape(self.input.name, self.input.shape))
        self.output = self._tensor(names, self._trt.TensorIOMode.OUTPUT)
        self.taken, taken = self._buffer(self.input)
        self.given, given = self._buffer(self.output)
        self._pointers = (taken, given)
        self._must(self._context.set_tensor_address(self.input.name, taken))
        self._must(self._context.set_tensor_address(self.output.name, given))
        self.stream = self._device.create_stream()
        self._undo.callback(self._device.destroy_stream, self.stream)
        # The first run sets up what TensorRT would otherwise set up while it is recorded.
        self.taken.array.fill(0)
        self.run()
        if use_cuda_graph:
            self._graph = self._device.capture(self.stream, self._enqueue)
            self._undo.callback(self._device.destroy_graph, self._graph)

    @property
    def given_pointer(self) -> int:
        """Where the output is on the device."""
        return self._pointers[1]

    def run(self) -> None:
        """From pinned memory to pinned memory, and wait."""
        self.put_on_stream()
        self._device.synchronize(self.stream)

    def put_on_stream(self) -> None:
        """One call's work."""
        if self._graph is None:
            self._enqueue()
        else:
            self._device.launch(self._graph, self.stream)

    def _enqueue(self) -> None:
        is_copied = not self._device.is_integrated
        if is_copied:
            self._device.copy_in(self._pointers[0], self.taken.array, self.stream)
        self._must(self._context.execute_async_v3(self.stream))
        if is_copied and not self._stays_on_device:
            self._device.copy_out(self.given.array, self._pointers[1], self.stream)

    def _tensor(self, names: list[str], mode: Any) -> TensorSpec:
        (name,) = (name for name in names if self._engine.get_tensor_mode(name) == mode)
        types = self._trt.DataType
        dtypes = {types.FLOAT: np.float32, types.HALF: np.float16, types.INT8: np.int8, types.UINT8: np.uint8}
        kind = self._engine.get_tensor_dtype(name)
        if kind not in dtypes:
            raise EngineError(f"{name} is a {kind}, which the link does not use")
        shape = tuple(int(axis) for axis in self._context.get_tensor_shape(name))
        if mode == self._trt.TensorIOMode.INPUT:
            # A free batch is 1; one that the graph fixes stays.
            shape = (max(1, shape[0]), *shape[1:])
        # The context knows the output's shape once it knows the input's.
        if min(shape, default=1) < 0:
            raise EngineError(f"{name} is of a size that depends on what is in the picture: {shape}; no buffer fits it")
        return TensorSpec(name, np.dtype(dtypes[kind]), shape)

    def _buffer(self, spec: TensorSpec) -> tuple[PinnedArray, int]:
        """Host memory for a tensor, and the address that the engine uses for it."""
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
        """Free everything, from whatever thread."""
        try:
            self._device.push()
            try:
                self._undo.close()
            finally:
                self._device.pop()
        finally:
            self._device.release()
