"""What of TensorRT's API our code uses: read out of its source, so that no call escapes the check against the API.

An attribute of anything in HOLDERS is TensorRT's; what else has attributes in those modules must be named in OURS.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ENGINES = Path(__file__).parents[2] / "engines" / "backends" / "tensorrt"
API_FILE = Path(__file__).with_name("tensorrt_api.json")

HOLDERS = {
    "builder.py": {
        "trt": "",
        "trt.BuilderFlag": "BuilderFlag",
        "trt.ILogger": "ILogger",
        "trt.MemoryPoolType": "MemoryPoolType",
        "trt.NetworkDefinitionCreationFlag": "NetworkDefinitionCreationFlag",
        "builder": "Builder",
        "network": "INetworkDefinition",
        "parser": "OnnxParser",
        "fault": "ParserError",
        "config": "IBuilderConfig",
        "profile": "IOptimizationProfile",
        "tensor": "ITensor",
        "cache": "ITimingCache",
    },
    "session.py": {
        "self._trt": "",
        "self._trt.TensorIOMode": "TensorIOMode",
        "types": "DataType",
        "self._runtime": "Runtime",
        "self._engine": "ICudaEngine",
        "self._context": "IExecutionContext",
    },
    "runner.py": {"trt": ""},
}
"""Source file to expressions that hold TensorRT's objects, and the class of each; "" is the module."""

OURS = {
    "builder.py": {
        *("MissingDependencyError", "functools", "logging", "log", "_log", "monitor", "path", "path.parent", "text"),
        *("temporary", "error", "self", "self._num_steps"),
    },
    "session.py": {
        *("contextlib", "np", "self", "self.log", "self._device", "self._undo", "self.input", "self.output", "spec"),
        *(
            "self.input_buffer",
            "self.input_buffer.array",
            "self.output_buffer",
            "self.output_buffer.array",
            "pinned",
            "pinned.array",
        ),
    },
    "runner.py": {
        *("contextlib", "hashlib", "logging", "np", "npt", "re", "threading", "weakref", "_log", "graph", "error"),
        *(
            "self",
            "self.output",
            "self._session",
            "self._device",
            "self._finalizer",
            "self._store",
            "self._key",
            "engines",
        ),
        *(
            "session",
            "session.log",
            "session.input_buffer",
            "session.output_buffer",
            "session.output_buffer.array",
            "hashlib.sha256(content)",
        ),
    },
}
"""Source file to all else that has attributes there."""

OVERRIDDEN = {"ILogger": {"log"}, "IProgressMonitor": {"phase_start", "step_complete", "phase_finish"}}
"""What our subclasses answer to."""


def used_names() -> dict[str, set[str]]:
    """Class to the names that our code uses of it; raises LookupError at an attribute of it knows not what."""
    used: dict[str, set[str]] = defaultdict(set)
    for file, holders in HOLDERS.items():
        for node in ast.walk(ast.parse((ENGINES / file).read_text(encoding="utf-8"))):
            # Of a literal or of super(), the attribute is Python's.
            if not isinstance(node, ast.Attribute) or isinstance(node.value, ast.Constant | ast.JoinedStr):
                continue
            holder = ast.unparse(node.value)
            if holder in holders and not node.attr.startswith("__"):
                used[holders[holder]].add(node.attr)
            elif holder not in holders and holder not in OURS[file] and holder != "super()":
                raise LookupError(f"{file}:{node.lineno}: whose is {holder}.{node.attr}? Say it in HOLDERS or in OURS")
    classes = used.pop("")
    for name, methods in OVERRIDDEN.items():
        used[name] |= methods
    return {**used, **{name: used.get(name, set()) for name in classes}}
