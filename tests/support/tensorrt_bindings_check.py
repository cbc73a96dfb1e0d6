"""Run by `test_api` in a process of its own, over the real bindings of TensorRT and libraries that do nothing.

Prints what our code finds there, as JSON.
"""

from __future__ import annotations

import ast
import importlib
import json
from types import ModuleType
from typing import Any

from engines.backends.tensorrt.builder import build_engine, progress_monitor, tensorrt_log
from engines.backends.tensorrt.session import TensorRtSession
from semlink.errors import EngineError
from tests.support.tensorrt_names import ENGINES, used_names


def main(trt: ModuleType) -> None:
    used = used_names()
    classes = {name: getattr(trt, name, None) for name in used}
    missing = [f"trt.{name}" for name, found in classes.items() if found is None]
    missing += [f"{name}.{member}" for name in used for member in used[name] if not hasattr(classes[name], member)]
    print(
        json.dumps({"version": trt.__version__, "missing": missing, "flag": flag(trt), **callbacks(trt), **errors(trt)})
    )


def flag(trt: ModuleType) -> int:
    """What the builder asks `create_network` for, by the source's own expression."""
    tree = ast.parse((ENGINES / "builder.py").read_text(encoding="utf-8"))
    (call,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".create_network")
    )
    return int(eval(ast.unparse(call.args[0]), {"trt": trt}))


def callbacks(trt: ModuleType) -> dict[str, Any]:
    log = tensorrt_log(trt)
    log.log(trt.ILogger.ERROR, "first line\n  second line")
    log.log(trt.ILogger.VERBOSE, "never mind")
    observation: list[tuple[str, float]] = []

    def on_progress(phase: str, fraction: float) -> None:
        observation.append((phase, fraction))
        if fraction == 1.0:
            raise KeyboardInterrupt

    monitor = progress_monitor(trt, on_progress)
    assert isinstance(log, trt.ILogger)
    assert isinstance(monitor, trt.IProgressMonitor)
    monitor.phase_start("Building", None, 2)
    goes_on = [monitor.step_complete("Building", 0), monitor.step_complete("Building", 1)]
    monitor.phase_finish("Building")
    return {
        "words": log.take_error(),
        "reported": observation,
        "goes_on": goes_on,
        "interruption": type(monitor.interruption).__name__,
    }


def errors(trt: ModuleType) -> dict[str, str]:
    """What becomes of null pointers."""
    said = {}
    session = TensorRtSession(trt, None)  # type: ignore[arg-type]
    for name, work in (
        ("builder", lambda: build_engine(b"", tensorrt=trt)),
        ("runtime", lambda: session.deserialize(b"")),
    ):
        try:
            work()
        except EngineError as error:
            said[name] = str(error)
    return said


if __name__ == "__main__":
    main(importlib.import_module("tensorrt_bindings"))
