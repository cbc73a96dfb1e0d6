"""Runs a graph in ONNX Runtime on a GPU: by its CUDA provider, or by its TensorRT provider.

A batch of 1 goes through buffers on the GPU that are bound once; a call allocates only its result.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.backends.onnxruntime.providers import (
    CUDA,
    TENSORRT,
    cuda_provider,
    quiet_log,
    require_assignment,
    require_provider,
    tensorrt_provider,
    tensorrt_version,
)
from engines.backends.onnxruntime.session import OnnxRuntimeSession, onnxruntime
from engines.backends.runner import BuildProgress, Graph, TensorSpec, check_input
from engines.backends.tensorrt.builder import WORKSPACE_BYTES
from engines.backends.tensorrt.graph import ready_for_tensorrt
from engines.onnx_model import load_onnx
from engines.store import EngineKey, EngineStore
from semlink.cache import cache_folder
from semlink.errors import EngineError

__all__ = ["CudaProviderRunner", "TensorRtProviderRunner"]

_log = logging.getLogger(__name__)

_MEMORY = "cuda"
"""ONNX Runtime's name for the memory of NVIDIA's GPUs."""
_TF32 = "NVIDIA_TF32_OVERRIDE"
"""Variable of NVIDIA's libraries; the provider has no option for it."""
_BUILD = "TensorRT's engine, by ONNX Runtime"


class CudaProviderRunner:
    """A graph of one input and one output in ONNX Runtime's CUDA provider, for batches of any size.

    It may be called from any thread; calls with one image wait for one another.

    Parameters
    ----------
    graph : ONNX file or serialised model
    num_threads : CPU threads of the nodes that run on the CPU
    precision : name of the graph's arithmetic, for the description
    device_index : of the GPU, in the driver's order

    Raises
    ------
    EngineError
        If there is no driver or no such GPU, its memory is too small, or the graph cannot be run there.
    MissingDependencyError
        If ONNX Runtime is built for the CPU, or a library that the provider needs is missing.
    """

    def __init__(self, graph: Graph, *, num_threads: int = 1, precision: str = "fp32", device_index: int = 0) -> None:
        gpu = require_provider(CUDA, device_index)
        with quiet_log():
            self._session = OnnxRuntimeSession(graph, [cuda_provider(device_index)], num_threads=num_threads)
        assigned = require_assignment(self._session, CUDA)
        self.input, self.output = self._session.input, self._session.output
        self.description = _description(CUDA, gpu, device_index, precision, assigned)
        has_one_size = all(axis is not None for spec in (self.input, self.output) for axis in spec.shape[1:])
        self._one_image = _OneImage(self._session, device_index) if has_one_size else None

    @staticmethod
    def require(device_index: int) -> str:
        """Version of the backend; see `engines.backends.runner.require_backend`."""
        require_provider(CUDA, device_index)
        return str(onnxruntime.__version__)

    def __call__(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run the graph once on a tensor that fits `input`; the result is the caller's own."""
        check_input(self.input, tensor, graph=self._session.name)
        if self._one_image is None or len(tensor) != 1:
            return self._session.run(tensor)
        return self._one_image(tensor)


class TensorRtProviderRunner:
    """A graph of one input and one output in ONNX Runtime's TensorRT provider, for one image at a time.

    Nodes that TensorRT cannot run go to the CUDA provider. Any thread may call it; calls wait for one another.

    Parameters
    ----------
    graph : ONNX file or serialised model
    num_threads, precision, device_index : see `CudaProviderRunner`
    store : store of the provider's engines; `engines` in the cache if None
    on_progress : callback at the start and the end of a build; ONNX Runtime reports nothing between
    rebuild : build the engine even if the store has it

    Raises
    ------
    EngineError, MissingDependencyError
        See `CudaProviderRunner`; or the engine cannot be built or kept.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        num_threads: int = 1,
        precision: str = "fp32",
        device_index: int = 0,
        store: EngineStore | None = None,
        on_progress: BuildProgress | None = None,
        rebuild: bool = False,
    ) -> None:
        gpu = require_provider(TENSORRT, device_index)
        model = load_onnx(graph)
        content = ready_for_tensorrt(model.SerializeToString())
        # The provider identifies a graph by its nodes and ignores its weights, so each graph has a folder of its own.
        key = EngineKey(
            graph_sha256=hashlib.sha256(content).hexdigest(),
            backend="onnxruntime-tensorrt",
            version=_tensorrt_provider_version(),
            device=gpu,
            precision=precision,
        )
        with (store or EngineStore(cache_folder("engines"))).backend_folder(key, rebuild=rebuild) as folder:
            providers = [
                tensorrt_provider(device_index, folder.path, workspace_bytes=WORKSPACE_BYTES),
                cuda_provider(device_index),
            ]
            on_progress = _ignore_progress if folder.is_whole or on_progress is None else on_progress
            on_progress(_BUILD, 0.0)
            with quiet_log():
                # With every size known the engine is built here, once, and not by the first image.
                self._session = OnnxRuntimeSession(
                    content, providers, num_threads=num_threads, ones=_free_axes(model.graph.input)
                )
            assigned = require_assignment(self._session, TENSORRT)
            self.input, self.output = (_of_one_image(spec) for spec in (self._session.input, self._session.output))
            self._one_image = _OneImage(self._session, device_index)
            on_progress(_BUILD, 1.0)
        self.description = _description(TENSORRT, gpu, device_index, precision, assigned)
        if precision == "fp32" and os.environ.get(_TF32) != "0":
            _log.warning(
                "fp32 in %s may be computed in TF32, of ten bits; %s=0 in the environment forbids it", TENSORRT, _TF32
            )
            self.description += ", TF32 allowed"

    @staticmethod
    def require(device_index: int) -> str:
        """Version of the backend; see `engines.backends.runner.require_backend`."""
        require_provider(TENSORRT, device_index)
        return _tensorrt_provider_version()

    def __call__(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run the graph once on a tensor that fits `input`; the result is the caller's own."""
        check_input(self.input, tensor, graph=self._session.name)
        return self._one_image(tensor)


class _OneImage:
    """Buffers for a batch of 1 on the GPU, bound to a session; the constructor runs it once to select algorithms."""

    def __init__(self, session: OnnxRuntimeSession, device_index: int) -> None:
        self._session, self._lock = session, threading.Lock()
        try:
            self._input, self._output = (
                onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                    _of_one_image(spec).shape, spec.dtype.type, _MEMORY, device_index
                )
                for spec in (session.input, session.output)
            )
            self._binding = session.raw.io_binding()
            self._binding.bind_ortvalue_input(session.input.name, self._input)
            self._binding.bind_ortvalue_output(session.output.name, self._output)
        except Exception as error:  # noqa: BLE001  onnxruntime's exceptions share no public base class
            raise session.error("cannot hold an image on the GPU", error) from None
        self(np.zeros([axis or 1 for axis in session.input.shape], session.input.dtype))

    def __call__(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with self._lock:
            try:
                self._input.update_inplace(np.ascontiguousarray(tensor))
                self._session.raw.run_with_iobinding(self._binding)
                result: npt.NDArray[Any] = self._output.numpy()  # a copy: the buffer stays the GPU's
            except Exception as error:  # noqa: BLE001  as above
                raise self._session.error("cannot run it", error) from None
            return result


def _tensorrt_provider_version() -> str:
    return f"{onnxruntime.__version__}, TensorRT {tensorrt_version()}"


def _ignore_progress(phase: str, share: float) -> None:
    pass


def _of_one_image(spec: TensorSpec) -> TensorSpec:
    if any(axis is None for axis in spec.shape[1:]):
        raise EngineError(f"{spec}: only the batch axis may be free: buffers have a fixed size")
    return TensorSpec(spec.name, spec.dtype, (1, *spec.shape[1:]))


def _free_axes(values: Any) -> list[str]:
    """Names of a graph's free axes, once each."""
    axes = (axis.dim_param for value in values for axis in value.type.tensor_type.shape.dim)
    return list(dict.fromkeys(filter(None, axes)))


def _description(provider: str, gpu: str, device_index: int, precision: str, assigned: str) -> str:
    words = (f"onnxruntime {onnxruntime.__version__} {provider}", f"{gpu} (gpu:{device_index})", precision, assigned)
    return ", ".join(filter(None, words))
