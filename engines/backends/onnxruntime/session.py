"""A graph in ONNX Runtime, in whatever provider. The only module that imports onnxruntime to run graphs."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime

from engines.backends.runner import Graph, TensorSpec
from semlink.errors import EngineError

__all__ = ["CPU_PROVIDER", "SILENT", "WARNINGS", "OnnxRuntimeSession", "Provider", "onnxruntime"]

Provider: TypeAlias = str | tuple[str, Mapping[str, str]]
"""Name of an execution provider, or its name and its options."""

CPU_PROVIDER = "CPUExecutionProvider"

SILENT, WARNINGS = 4, 2
"""Severities of ONNX Runtime's log; it starts with the latter."""

_log = logging.getLogger(__name__)

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(uint8)": np.uint8,
}


class OnnxRuntimeSession:
    """A graph of one input and one output, loaded.

    Parameters
    ----------
    graph : ONNX file or serialised model
    providers : in the order in which they are offered the graph's nodes; ONNX Runtime adds the CPU's at the end
    num_threads : CPU threads of one call, at least 1
    ones : names of free axes that are to be 1

    Attributes
    ----------
    name : the graph's, for messages
    raw : ONNX Runtime's own session
    input, output : of the graph

    Raises
    ------
    EngineError
        If the graph cannot be parsed, has an operator that no provider has, has more than one input or output, or
        does not fit into memory.
    """

    def __init__(
        self, graph: Graph, providers: Sequence[Provider], *, num_threads: int, ones: Sequence[str] = ()
    ) -> None:
        self.name = graph.name if isinstance(graph, Path) else "composed graph"
        if num_threads < 1:
            raise EngineError(f"num_threads must be at least 1, got {num_threads}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # Errors are raised as exceptions; on stderr they would be repeated, unless logging is verbose.
        options.log_severity_level = WARNINGS if _log.isEnabledFor(logging.INFO) else SILENT
        # Threads may spin inside a call, which halves its time on two cores, and not after it, when
        # they would take the core from the process at the other end of the link.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # For `operators`; older releases know neither.
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        # A batch is rarely of the same size twice, and arenas kept per shape only grow.
        options.enable_mem_pattern = False
        for axis in ones:
            options.add_free_dimension_override_by_name(axis, 1)
        try:
            # With its fallback, ONNX Runtime prints on stdout that a provider failed, and runs on the CPU.
            self.raw = onnxruntime.InferenceSession(
                str(graph) if isinstance(graph, Path) else graph, options, providers=list(providers), enable_fallback=0
            )
        # onnxruntime's exceptions share no public base class below Exception.
        except Exception as error:  # noqa: BLE001
            raise self.error("cannot load it", error) from None
        self.input = self._only(self.raw.get_inputs(), "input")
        self.output = self._only(self.raw.get_outputs(), "output")
        self._output_names = [self.output.name]

    def run(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run the graph on a tensor in host memory, to another there; EngineError if it fails."""
        try:
            output: npt.NDArray[Any] = self.raw.run(self._output_names, {self.input.name: tensor})[0]
        except Exception as error:  # noqa: BLE001  as above
            raise self.error("cannot run it", error) from None
        return output

    def operators(self) -> dict[str, Counter[str]]:
        """How many nodes of each operator each provider runs; nothing where ONNX Runtime is too old to say."""
        placed: dict[str, Counter[str]] = {}
        if hasattr(self.raw, "get_provider_graph_assignment_info"):
            for part in self.raw.get_provider_graph_assignment_info():
                placed.setdefault(part.ep_name, Counter()).update(node.op_type for node in part.get_nodes())
        return placed

    def error(self, failure: str, error: Exception) -> EngineError:
        """ONNX Runtime's error as ours: the first line of what it says, and what to do where memory is short."""
        lines = str(error).strip().splitlines()
        words = lines[0] if lines else type(error).__name__
        if re.search(r"out of memory|failed to allocate", words, re.IGNORECASE):
            words += "; close what else uses this memory, or load fewer models"
        return EngineError(f"{self.name}: ONNX Runtime {failure}: {words}")

    def _only(self, nodes: Sequence[Any], kind: str) -> TensorSpec:
        if len(nodes) != 1:
            raise EngineError(f"{self.name}: expected one {kind}, the graph has {len(nodes)}")
        node = nodes[0]
        if node.type not in _DTYPES:
            raise EngineError(f"{self.name}: {kind} {node.name} is a {node.type}, which the link does not use")
        shape = tuple(axis if isinstance(axis, int) else None for axis in node.shape)
        return TensorSpec(node.name, np.dtype(_DTYPES[node.type]), shape)
