"""The interface of every inference backend, and the choice of one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from engines.backends.target import Target, choose_target
from engines.store import EngineStore
from semlink.errors import EngineError

__all__ = [
    "BuildProgress",
    "DeviceRunner",
    "DeviceView",
    "Graph",
    "GraphRunner",
    "TensorSpec",
    "check_input",
    "check_specs",
    "load_runner",
    "require_backend",
]

Graph: TypeAlias = Path | bytes
"""An ONNX graph: a file, or a serialised model."""

BuildProgress: TypeAlias = Callable[[str, float], None]
"""Callback of a build: name of the phase, and the share of it that is done, 0..1."""


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


@dataclass(frozen=True)
class DeviceView:
    """View of a float32 tensor in a GPU's memory; its computation is complete.

    Attributes
    ----------
    pointer : device address, in the first device's primary context
    shape : row-major and contiguous
    """

    pointer: int
    shape: tuple[int, ...]

    def rows(self, count: int) -> DeviceView:
        """Its first `count` rows."""
        return DeviceView(self.pointer, (count, *self.shape[1:]))


class DeviceRunner(Protocol):
    """A loaded graph whose output stays on the device."""

    @property
    def input(self) -> TensorSpec:
        """Input of the graph; its batch axis is fixed."""
        ...

    def on_device(self, tensor: npt.NDArray[Any]) -> DeviceView:
        """Run once; the result is valid until the next call."""
        ...


class GraphRunner(Protocol):
    """A loaded graph with one input and one output.

    Every graph of the link is a function of one tensor, so a runner is called like one.
    """

    @property
    def input(self) -> TensorSpec:
        """Input of the graph."""
        ...

    @property
    def output(self) -> TensorSpec:
        """Output of the graph."""
        ...

    @property
    def description(self) -> str:
        """Backend, device, precision and threads, for reports."""
        ...

    def __call__(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run once; EngineError names the tensor if it does not fit."""
        ...


def check_input(spec: TensorSpec, tensor: npt.NDArray[Any], *, graph: str) -> None:
    """Refuse a tensor that does not fit the graph's input, by name."""
    if not spec.accepts(tensor.dtype, tensor.shape):
        raise EngineError(f"{graph}: input expects {spec}, received {tensor.dtype} {tensor.shape}")


def check_specs(runner: GraphRunner, *, graph: str, expected_input: TensorSpec, expected_output: TensorSpec) -> None:
    """Refuse a graph whose input or output differs from the manifest."""
    for spec, expected in ((runner.input, expected_input), (runner.output, expected_output)):
        if not expected.accepts(spec.dtype, spec.shape):
            raise EngineError(f"{graph}: expected {expected}, the graph has {spec}")


def load_runner(
    graph: Graph,
    *,
    backend: str = "auto",
    device: str = "auto",
    num_threads: int = 1,
    precision: str = "fp32",
    store: EngineStore | None = None,
    on_progress: BuildProgress | None = None,
    rebuild: bool = False,
) -> GraphRunner:
    """Load a graph.

    Parameters
    ----------
    graph : ONNX file or serialised model
    backend, device : see `engines.backends.target.choose_target`; "auto" is for batches of any size
    num_threads : CPU threads of one call
    precision : name of the graph's arithmetic, for engines and descriptions
    store : store of engines that are built; a folder of the cache if None
    on_progress : callback for a build's progress
    rebuild : build the engine even if the store has it

    Raises
    ------
    EngineError, MissingDependencyError
        If the named backend cannot load the graph, or a package is missing. There is no fallback to another one.
    """
    target = choose_target(backend, device, is_one_image=False)
    kind, placed = _implementation(target)
    built = {"store": store, "on_progress": on_progress, "rebuild": rebuild} if target.builds else {}
    runner: GraphRunner = kind(graph, num_threads=num_threads, precision=precision, **placed, **built)
    return runner


def require_backend(target: Target) -> str:
    """Check that a target can run here, before anything is composed for it.

    Returns
    -------
    version : version of the backend, as the keys of its engines have it

    Raises
    ------
    EngineError, MissingDependencyError
        If the GPU, its driver, or a package of the backend is missing.
    """
    kind, placed = _implementation(target)
    version: str = kind.require(**placed)
    return version


def _implementation(target: Target) -> tuple[Any, dict[str, int]]:
    """The class of a target's runners, and the parameters that name the device."""
    module, _, class_name = target.implementation.partition(":")
    kind = getattr(importlib.import_module(module), class_name)
    return kind, {} if target.device.gpu is None else {"device_index": target.device.gpu}
