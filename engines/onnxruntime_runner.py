"""Runs a graph in ONNX Runtime on the CPU. The only module that imports onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from engines.runner import Graph, TensorSpec, check_input
from semlink.errors import EngineError

__all__ = ["OnnxRuntimeRunner"]

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(uint8)": np.uint8,
}


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
        self._precision = precision
        self._name = graph.name if isinstance(graph, Path) else "composed graph"
        if num_threads < 1:
            raise EngineError(f"num_threads must be at least 1, got {num_threads}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # Errors come as exceptions; on stderr they would only be said twice.
        options.log_severity_level = 4
        # Threads may spin inside a call, which halves its time on two cores, and not after it, when
        # they would take the core from the process at the other end of the link.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # A batch is rarely of the same size twice, and arenas kept per shape only grow.
        options.enable_mem_pattern = False
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph) if isinstance(graph, Path) else graph, options, providers=["CPUExecutionProvider"]
            )
        # onnxruntime's exceptions share no public base class below Exception.
        except Exception as error:  # noqa: BLE001
            raise EngineError(f"{self._name}: ONNX Runtime cannot load it: {_first_line(error)}") from None
        self._num_threads = num_threads
        self.input = self._only(self._session.get_inputs(), "input")
        self.output = self._only(self._session.get_outputs(), "output")
        self._output_names = [self.output.name]

    def _only(self, nodes: list[Any], kind: str) -> TensorSpec:
        if len(nodes) != 1:
            raise EngineError(f"{self._name}: expected one {kind}, the graph has {len(nodes)}")
        node = nodes[0]
        if node.type not in _DTYPES:
            raise EngineError(f"{self._name}: {kind} {node.name} is a {node.type}, which the link does not use")
        shape = tuple(axis if isinstance(axis, int) else None for axis in node.shape)
        return TensorSpec(node.name, np.dtype(_DTYPES[node.type]), shape)

    @property
    def description(self) -> str:
        """Backend, device, arithmetic and threads."""
        return f"onnxruntime {onnxruntime.__version__}, CPU, {self._precision}, {self._num_threads} thread(s)"

    def __call__(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run the graph once on a tensor that fits `input`."""
        check_input(self.input, tensor, graph=self._name)
        try:
            output: npt.NDArray[Any] = self._session.run(self._output_names, {self.input.name: tensor})[0]
        except Exception as error:  # noqa: BLE001
            raise EngineError(f"{self._name}: ONNX Runtime cannot run it: {_first_line(error)}") from None
        return output


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
