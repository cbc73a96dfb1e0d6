"""Runs a graph in ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from engines.backends.onnxruntime.session import CPU_PROVIDER, OnnxRuntimeSession, onnxruntime
from engines.backends.runner import Graph, check_input

__all__ = ["OnnxRuntimeRunner"]


class OnnxRuntimeRunner:
    """A graph of one input and one output in ONNX Runtime's CPU provider.

    Parameters
    ----------
    graph : ONNX file or serialised model
    num_threads : threads of one call, at least 1
    precision : name of the graph's arithmetic, for the description

    Raises
    ------
    EngineError
        If the graph cannot be parsed, has an operator that this runtime lacks, or has more than
        one input or output.
    """

    def __init__(self, graph: Graph, *, num_threads: int = 1, precision: str = "fp32") -> None:
        self._session = OnnxRuntimeSession(graph, [CPU_PROVIDER], num_threads=num_threads)
        self.input, self.output = self._session.input, self._session.output
        self.description = f"onnxruntime {onnxruntime.__version__}, CPU, {precision}, {num_threads} thread(s)"

    @staticmethod
    def require() -> str:
        """Version of the backend, which every installation has; see `engines.backends.runner.require_backend`."""
        return str(onnxruntime.__version__)

    def __call__(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run the graph once on a tensor that fits `input`."""
        check_input(self.input, tensor, graph=self._session.name)
        return self._session.run(tensor)
