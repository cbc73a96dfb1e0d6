"""ONNX Runtime's GPU build without a GPU: it records what is asked of it, and computes on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import onnx
import onnx.parser
import pytest

from engines.backends.onnxruntime.session import onnxruntime

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
GPU_PROVIDERS = (TENSORRT, CUDA)
PICTURE = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
HALF = np.arange(6, dtype=np.float32).reshape(1, 2, 3) / 2


class RecordingOnnxRuntime:
    """What takes the place of parts of the module `onnxruntime`.

    Parameters
    ----------
    available : providers of this build, besides the CPU's
    loads : of those, the ones whose libraries can be loaded
    leaves_to_cpu : operators that no provider of the GPU has
    fails : raised by whoever does what it is asked: allocate, open, run
    leaves_to_cuda : operators that its TensorRT provider leaves to the next
    keeps : what its TensorRT provider writes as its engine; None for nothing

    Attributes
    ----------
    calls : in order; a tuple of what was done, and with what
    """

    def __init__(
        self,
        *,
        available: Collection[str] = GPU_PROVIDERS,
        loads: Collection[str] = GPU_PROVIDERS,
        leaves_to_cpu: Collection[str] = (),
    ) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fails: dict[str, BaseException] = {}
        self.keeps: bytes | None = None
        self.leaves_to_cuda: Collection[str] = ()
        self.loads, self.leaves_to_cpu = loads, leaves_to_cpu
        self._available = [*available, "CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession
        self._value = onnxruntime.OrtValue.ortvalue_from_shape_and_type

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be onnxruntime for one test."""
        parts: dict[str, Any] = {
            "get_available_providers": lambda: self._available,
            "InferenceSession": self._open,
            "OrtValue": SimpleNamespace(ortvalue_from_shape_and_type=self._allocate),
            "preload_dlls": lambda: print("Failed to load libcublas.so.13"),
            "set_default_logger_severity": lambda severity: self.done("severity", severity),
            "cuda_version": "12.8",
        }
        for name, part in parts.items():
            monkeypatch.setattr(onnxruntime, name, part, raising=False)

    def done(self, what: str, *details: Any) -> None:
        self.calls.append((what, *details))
        if what in self.fails:
            raise self.fails[what]

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]

    def _allocate(self, shape: Collection[int], element_type: Any, device: str, device_id: int) -> _Value:
        self.done("allocate", tuple(shape), np.dtype(element_type).name, device, device_id)
        return _Value(self, self._value(list(shape), element_type, "cpu", 0))

    def _open(self, graph: Any, options: Any, *, providers: list[Any], enable_fallback: int) -> _Session:
        self.done("session severity", options.log_severity_level)
        self.done("open", providers, enable_fallback)
        names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
        if self.keeps is not None and names[0] == GPU_PROVIDERS[0]:
            Path(providers[0][1]["trt_engine_cache_path"], "kernel.engine").write_bytes(self.keeps)
        session = self._session(graph, options, providers=["CPUExecutionProvider"])
        return _Session(self, session, [name for name in names if name in self.loads], onnx.load_from_string(graph))


class _Value:
    """An OrtValue on a GPU: what it holds is seen by copying it alone."""

    def __init__(self, runtime: RecordingOnnxRuntime, real: Any) -> None:
        self._runtime, self.real = runtime, real

    def update_inplace(self, array: np.ndarray) -> None:
        assert array.flags.c_contiguous
        self._runtime.done("copy in")
        self.real.update_inplace(array)

    def numpy(self) -> np.ndarray:
        self._runtime.done("copy out")
        return np.array(self.real.numpy())


class _Binding:
    def __init__(self, real: Any) -> None:
        self.real = real

    def bind_ortvalue_input(self, name: str, value: _Value) -> None:
        self.real.bind_ortvalue_input(name, value.real)

    def bind_ortvalue_output(self, name: str, value: _Value) -> None:
        self.real.bind_ortvalue_output(name, value.real)


class _Session:
    def __init__(self, runtime: RecordingOnnxRuntime, real: Any, providers: list[str], model: onnx.ModelProto) -> None:
        self._runtime, self._real, self._providers, self._model = runtime, real, providers, model
        self.get_inputs: Callable[[], Any] = real.get_inputs
        self.get_outputs: Callable[[], Any] = real.get_outputs

    def get_providers(self) -> list[str]:
        return [*self._providers, "CPUExecutionProvider"]

    def get_provider_graph_assignment_info(self) -> list[SimpleNamespace]:
        left = [node for node in self._model.graph.node if node.op_type in self._runtime.leaves_to_cpu]
        first, *others = self.get_providers()
        next_ones = self._runtime.leaves_to_cuda if "CUDAExecutionProvider" in others else ()
        passed = [node for node in self._model.graph.node if node.op_type in next_ones]
        taken = [node for node in self._model.graph.node if node not in (*left, *passed)]
        parts = {"CPUExecutionProvider": left, "CUDAExecutionProvider": passed, first: taken}
        return [SimpleNamespace(ep_name=name, get_nodes=partial(list, nodes)) for name, nodes in parts.items() if nodes]

    def io_binding(self) -> _Binding:
        return _Binding(self._real.io_binding())

    def run_with_iobinding(self, binding: _Binding) -> None:
        self._runtime.done("run bound")
        self._real.run_with_iobinding(binding.real)

    def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        self._runtime.done("run")
        outputs: list[np.ndarray] = self._real.run(names, inputs)
        return outputs


def half_graph(batch: str = "batch", *, width: str = "3", half: float = 0.5) -> bytes:
    """PICTURE to HALF."""
    return onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 18]>
        halves (uint8[{batch}, 2, {width}] image) => (float[{batch}, 2, {width}] features) <float half = {{{half}}}>
        {{ real = Cast <to = 1> (image)
           features = Mul (real, half) }}
    """).SerializeToString()


GRAPH = half_graph()


def missing(name: str) -> NoReturn:
    """What the loader says of a library."""
    raise OSError(f"{name}: cannot open shared object file: No such file or directory")
