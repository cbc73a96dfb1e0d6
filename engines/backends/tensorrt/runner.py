"""Runs a graph in TensorRT, one shape at a time: one engine, one stream, one CUDA graph that is replayed.

    tensor --copy--> pinned host memory --[copy in, engine, copy out: one launch]--> pinned host memory --copy--> result

On GPUs that share the host's memory, such as a Jetson's, the engine reads and writes the pinned memory itself.
After the constructor only the array that a call returns is allocated.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.backends.cuda import CudaDevice, PyCudaDevice
from engines.backends.cuda_driver import require_gpu
from engines.backends.runner import BuildProgress, DeviceView, Graph, check_input
from engines.backends.tensorrt.builder import BUILDING, build_engine, load_tensorrt
from engines.backends.tensorrt.session import TensorRtSession
from engines.store import EngineKey, EngineStore
from semlink.cache import cache_folder
from semlink.closing import Closing
from semlink.errors import EngineError

__all__ = ["TensorRtRunner"]

_log = logging.getLogger(__name__)


class TensorRtRunner(Closing):
    """A graph of one input and one output in TensorRT, for one image at a time, or the batch that the graph fixes.

    It may be called from any thread; calls from several threads wait for one another. Close it, or leave it to the
    garbage collector.

    Parameters
    ----------
    graph : ONNX file or serialised model; its arithmetic is TensorRT's
    num_threads : for the common signature; the GPU does the work
    store : store of built engines; `engines` in the cache if None
    precision : name of the graph's arithmetic, for the store and the description
    device_index : of the GPU, in the driver's order
    cuda : an opened device in place of `device_index`; the runner owns it from here on
    use_cuda_graph : False enqueues the engine in each call instead, for comparison
    stays_on_device : leave the output on the device, for `on_device`; such a runner is not called
    on_progress : callback for a build's progress
    rebuild : build the engine even if the store has it

    Raises
    ------
    EngineError
        If there is no driver or GPU, or the graph cannot be built, or not be run.
    MissingDependencyError
        If TensorRT or pycuda is not installed.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        num_threads: int = 1,
        store: EngineStore | None = None,
        precision: str = "fp32",
        device_index: int = 0,
        cuda: CudaDevice | None = None,
        use_cuda_graph: bool = True,
        stays_on_device: bool = False,
        on_progress: BuildProgress | None = None,
        rebuild: bool = False,
    ) -> None:
        self._name = graph.name if isinstance(graph, Path) else "composed graph"
        if num_threads < 1:
            raise EngineError(f"num_threads must be at least 1, got {num_threads}")
        try:
            content = graph.read_bytes() if isinstance(graph, Path) else graph
        except OSError as error:
            raise EngineError(f"{graph!s}: {error.strerror}") from None
        trt = load_tensorrt()
        self._lock = threading.Lock()
        self._device: CudaDevice = cuda or PyCudaDevice(device_index)
        self._session = TensorRtSession(trt, self._device)
        # Also runs at the interpreter's exit, while the libraries are still loaded.
        self._finalizer = weakref.finalize(self, self._session.close)
        key = EngineKey(
            *(hashlib.sha256(content).hexdigest(), "tensorrt", str(trt.__version__), self._device.name, precision),
            options=f"building {BUILDING}",
        )
        engines = _Engines(
            content, key, trt, store or EngineStore(cache_folder("engines")), on_progress, rebuild=rebuild
        )
        try:
            with self._on_device():
                engines.load_into(self._session)
                self._session.make_ready(use_cuda_graph=use_cuda_graph, stays_on_device=stays_on_device)
        except BaseException as error:
            # The first error is raised, not those of freeing after it.
            with contextlib.suppress(EngineError):
                self._finalizer()
            if isinstance(error, EngineError):
                raise EngineError(f"{self._name}: {error}") from None
            raise
        self.input, self.output = self._session.input, self._session.output
        self._stays_on_device = stays_on_device
        self.description = (
            f"tensorrt {trt.__version__}, {self._device.name}, {precision},"
            f" {'CUDA graph' if use_cuda_graph else 'no CUDA graph'}"
        )

    @staticmethod
    def require(device_index: int) -> str:
        """Version of the backend; see `engines.backends.runner.require_backend`."""
        require_gpu(device_index)
        trt = load_tensorrt()
        return str(trt.__version__)

    def __call__(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run the graph once on a tensor that fits `input`; the result is the caller's own."""
        if self._stays_on_device:
            raise EngineError(f"{self._name}: the result stays on the device; ask for it with on_device")
        with self._session_with(tensor) as session:
            session.run()
            return session.output_buffer.array.copy()

    def on_device(self, tensor: npt.NDArray[Any]) -> DeviceView:
        """Run the graph once; return a view of its float32 result on the device, valid until the next call or `close`.

        The stream is synchronised: readers on other streams need not wait.
        """
        if not self._stays_on_device or self.output.dtype != np.float32:
            raise EngineError(f"{self._name}: only a float32 result that stays on the device can be read there")
        with self._session_with(tensor) as session:
            session.run()
            return DeviceView(session.output_pointer, tuple(axis or 1 for axis in self.output.shape))

    def device_ms(self, tensor: npt.NDArray[Any]) -> float:
        """Device time of one call with its copies [ms], between two CUDA events."""
        with self._session_with(tensor) as session:
            return self._device.elapsed_ms(session.stream, session.enqueue)

    @contextlib.contextmanager
    def _session_with(self, tensor: npt.NDArray[Any]) -> Iterator[TensorRtSession]:
        """Hold lock and device, with a tensor that fits `input` in the session's input buffer."""
        check_input(self.input, tensor, graph=self._name)
        session = self._session
        with self._lock, self._on_device():
            np.copyto(session.input_buffer.array, tensor)
            yield session

    @contextlib.contextmanager
    def _on_device(self) -> Iterator[None]:
        if not self._finalizer.alive:
            raise EngineError(f"{self._name}: the runner is closed")
        self._device.push()
        try:
            yield
        finally:
            self._device.pop()

    def close(self) -> None:
        """Free all resources; closing twice is harmless."""
        with self._lock:
            self._finalizer()


class _Engines:
    """Source of a graph's engine: the store, or a build."""

    def __init__(
        self,
        graph: bytes,
        key: EngineKey,
        trt: ModuleType,
        store: EngineStore,
        on_progress: BuildProgress | None,
        *,
        rebuild: bool,
    ) -> None:
        self._graph, self._key, self._trt, self._store = graph, key, trt, store
        self._on_progress, self._rebuild = on_progress, rebuild

    def load_into(self, session: TensorRtSession) -> None:
        """Deserialize the engine; one that TensorRT refuses is rebuilt, once."""
        if session.deserialize(self._store.find_or_build(self._key, self._build, rebuild=self._rebuild)):
            return
        words = session.log.take_error()
        _log.warning("%s: TensorRT refuses it (%s); rebuilding it", self._store.path(self._key), words)
        self._store.discard(self._key)
        if not session.deserialize(self._store.find_or_build(self._key, self._build)):
            raise EngineError(f"TensorRT cannot load the engine that it has just built: {session.log.take_error()}")

    def _build(self) -> bytes:
        _log.warning("building an engine for %s, once; this can take minutes", self._key.device)
        name = re.sub(r"\W+", "-", f"tensorrt-{self._key.version}-{self._key.device}")
        timing_cache = self._store.folder / f"{name}.timing"
        return build_engine(self._graph, timing_cache=timing_cache, on_progress=self._on_progress, tensorrt=self._trt)
