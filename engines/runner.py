"""What every inference backend looks like, and the choice between them."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from engines.engine_store import EngineStore
from semlink.errors import EngineError

__all__ = [
    "BACKENDS",
    "Graph",
    "GraphRunner",
    "Report",
    "TensorSpec",
    "check_input",
    "check_specs",
    "load_runner",
    "resolve_backend",
]

_log = logging.getLogger(__name__)

Graph: TypeAlias = Path | bytes
"""An ONNX graph: a file, or a serialised model."""

Report: TypeAlias = Callable[[str, float], None]
"""Told the phase of a build, and how much of it is done, 0..1."""

BACKENDS: dict[str, str] = {
    "onnxruntime": "engines.onnxruntime_runner:OnnxRuntimeRunner",
    "tensorrt": "engines.tensorrt_runner:TensorRtRunner",
}
"""Backend name to the class that implements it, imported only when asked for."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, element type and shape of a graph's input or output; None is a free axis."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        axes = ", ".join("?" if axis is None else str(axis) for axis in self.shape)
        return f"{self.name}: {self.dtype} ({axes})"

    def accepts(self, dtype: np.dtype[Any], shape: Sequence[int | None]) -> bool:
        """Whether a tensor, or another spec's dtype and shape, fits here."""
        if dtype != self.dtype or len(shape) != len(self.shape):
            return False
        return all(
            wanted is None or got is None or wanted == got for wanted, got in zip(self.shape, shape, strict=True)
        )


class GraphRunner(Protocol):
    """A loaded graph with one input and one output.

    Every graph of the link is a function of one tensor, so a runner is called like one.
    """

    @property
    def input(self) -> TensorSpec:
        """What the graph takes."""
        ...

    @property
    def output(self) -> TensorSpec:
        """What the graph gives."""
        ...

    @property
    def description(self) -> str:
        """Backend, device, precision and threads, for reports."""
        ...

    def __call__(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run once; EngineError names the tensor if it does not fit."""
        ...


def check_input(spec: TensorSpec, tensor: npt.NDArray[Any], *, graph: str) -> None:
    """Refuse a tensor that the graph does not take, in words that name it."""
    if not spec.accepts(tensor.dtype, tensor.shape):
        raise EngineError(f"{graph}: input expects {spec}, received {tensor.dtype} {tensor.shape}")


def check_specs(runner: GraphRunner, *, graph: str, expected_input: TensorSpec, expected_output: TensorSpec) -> None:
    """Refuse a graph whose input or output is not what the manifest promised."""
    for spec, expected in ((runner.input, expected_input), (runner.output, expected_output)):
        if not expected.accepts(spec.dtype, spec.shape):
            raise EngineError(f"{graph}: expected {expected}, the graph has {spec}")


def load_runner(
    graph: Graph,
    *,
    backend: str = "auto",
    num_threads: int = 1,
    precision: str = "fp32",
    store: EngineStore | None = None,
    report: Report | None = None,
    anew: bool = False,
) -> GraphRunner:
    """Load a graph on a backend.

    Parameters
    ----------
    graph : ONNX file or serialised model
    backend : a name of `BACKENDS`, or "auto", which is for batches of any size: see `resolve_backend`
    num_threads : CPU threads of one call
    precision : name of the graph's arithmetic, for engines and descriptions
    store : where engines that take long to build are kept; the cache if None
    report : told of a build's progress
    anew : build the engine even if it is there

    Raises
    ------
    EngineError
        If the backend is unknown or cannot load the graph. Never falls back to another one.
    """
    backend = resolve_backend(backend, is_one_image=False)
    module, _, class_name = BACKENDS[backend].partition(":")
    kind = getattr(importlib.import_module(module), class_name)
    built = {"store": store, "report": report, "anew": anew} if backend == "tensorrt" else {}
    runner: GraphRunner = kind(graph, num_threads=num_threads, precision=precision, **built)
    return runner


def resolve_backend(backend: str, *, is_one_image: bool) -> str:
    """A name of `BACKENDS`: the one that was named, or for "auto" the fastest that this machine has, which is logged.

    Parameters
    ----------
    is_one_image : whether every call takes a batch of 1, which is all that an engine of TensorRT takes; "auto"
        chooses TensorRT only then

    Raises
    ------
    EngineError
        If there is no backend of that name.
    """
    if backend == "auto":
        return _fastest(is_one_image=is_one_image)
    if backend not in BACKENDS:
        raise EngineError(f'backend "{backend}" is not known; choose from: auto, {", ".join(BACKENDS)}')
    return backend


def _fastest(*, is_one_image: bool) -> str:
    """TensorRT where it is installed and a driver is there, else ONNX Runtime; and why, in the log."""
    reason = "any batch"
    if is_one_image:
        packages = [name for name in ("tensorrt", "pycuda") if importlib.util.find_spec(name) is None]
        reason = f"no {' and no '.join(packages)} here"
        if not packages:
            from engines.cuda_driver import probe_driver

            try:
                driver = probe_driver()
            except EngineError as error:
                reason = str(error)
            else:
                _log.info("backend auto: chose tensorrt (CUDA %d.%d)", *driver.cuda)
                return "tensorrt"
    _log.info("backend auto: chose onnxruntime (%s)", reason)
    return "onnxruntime"
