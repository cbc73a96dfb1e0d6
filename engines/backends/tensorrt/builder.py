"""Builds TensorRT engines out of ONNX graphs. The only module that imports tensorrt.

Networks are strongly typed: the graph says what type each tensor has (`engines.graphs.quantize`), and TensorRT keeps
to it. That is the one kind of network which both JetPack 6's TensorRT 10.3 and TensorRT 11 build.

Source: TensorRT's Python API, Builder, OnnxParser, IProgressMonitor; tests hold each call to 10.3, 10.13 and 11.4.
"""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from types import ModuleType
from typing import Any

from engines.backends.cuda_driver import probe_driver
from engines.backends.runner import BuildProgress
from engines.backends.tensorrt.graph import ready_for_tensorrt
from semlink.errors import EngineError, MissingDependencyError
from semlink.files import replaced_file

__all__ = ["BUILDING", "WORKSPACE_BYTES", "build_engine", "load_tensorrt", "progress_monitor", "tensorrt_log"]

BUILDING = 2
"""Raise it with every change, here or in `engines.backends.tensorrt.graph`, that changes what is built."""

WORKSPACE_BYTES = 1 << 30
"""Default memory of a layer while it runs: fits the smallest Jetson beside the camera."""

_log = logging.getLogger(__name__)


def load_tensorrt() -> ModuleType:
    """Import TensorRT, once the driver is known to be there: some of its libraries end the process without one.

    Raises
    ------
    EngineError
        If there is no usable driver, or TensorRT's libraries cannot be loaded.
    MissingDependencyError
        If TensorRT is not installed.
    """
    probe_driver()
    try:
        import tensorrt as trt
    except ModuleNotFoundError as error:
        raise MissingDependencyError.of(str(error.name), extra="tensorrt", purpose="the backend tensorrt") from None
    except (ImportError, OSError) as error:
        raise EngineError(f"TensorRT cannot be loaded: {_one_line(str(error))}; reinstall tensorrt") from None
    module: ModuleType = trt
    return module


@functools.cache
def tensorrt_log(trt: ModuleType) -> Any:
    """TensorRT's logger: forwards to Python's logging, and keeps the last error's message for an EngineError.

    There is one in the process, because TensorRT keeps the first logger that it receives.
    """
    # Each error is raised too; as a warning it would be reported twice.
    levels = {
        trt.ILogger.INTERNAL_ERROR: logging.INFO,
        trt.ILogger.ERROR: logging.INFO,
        trt.ILogger.WARNING: logging.WARNING,
        trt.ILogger.INFO: logging.DEBUG,
    }

    class Log(trt.ILogger):  # type: ignore[misc,name-defined]  # a module without type hints
        def __init__(self) -> None:
            super().__init__()
            self.last_error = ""

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.last_error = _one_line(msg)
            if severity in levels:
                _log.log(levels[severity], "TensorRT: %s", _one_line(msg))

        def take_error(self) -> str:
            """Return the last error's message and clear it."""
            words, self.last_error = self.last_error, ""
            return words or "TensorRT gives no reason"

    return Log()


def build_engine(
    graph: bytes,
    *,
    timing_cache: Path | None = None,
    on_progress: BuildProgress | None = None,
    workspace_bytes: int = WORKSPACE_BYTES,
    tensorrt: ModuleType | None = None,
) -> bytes:
    """Build an engine for one image at a time, or for the batch that the graph fixes.

    Parameters
    ----------
    graph : serialised ONNX model of one input and one output; free axes become 1
    timing_cache : file with the timings of earlier builds, which makes this one faster; updated by it
    on_progress : callback for the build's progress
    workspace_bytes : GPU memory that a layer may use while it runs
    tensorrt : the library, if it is loaded already

    Returns
    -------
    engine : for this TensorRT version and this GPU alone

    Raises
    ------
    EngineError
        If TensorRT cannot parse or build the graph.
    """
    trt = tensorrt or load_tensorrt()
    log = tensorrt_log(trt)
    log.last_error = ""
    try:
        builder = trt.Builder(log)
    # The bindings raise TypeError for a null pointer.
    except TypeError:
        raise EngineError(f"TensorRT cannot start a build: {log.take_error()}") from None
    # Flags are bit numbers, and STRONGLY_TYPED is another one in each major version.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(ready_for_tensorrt(graph)):
        raise EngineError(f"TensorRT cannot parse the graph: {_parser_words(parser) or log.take_error()}")
    if (network.num_inputs, network.num_outputs) != (1, 1):
        raise EngineError(
            f"expected a graph of one input and one output, got {network.num_inputs} and {network.num_outputs}"
        )
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    # On by default, it rounds the factors of fp32 products to ten bits; fp16 is the user's choice to make.
    config.clear_flag(trt.BuilderFlag.TF32)
    config.add_optimization_profile(_one_image_profile(builder, network))
    monitor = progress_monitor(trt, on_progress) if on_progress else None
    if monitor:
        config.progress_monitor = monitor
    measured = _use_timing_cache(config, timing_cache) if timing_cache else None
    engine = builder.build_serialized_network(network, config)
    if monitor and monitor.interruption:
        raise monitor.interruption
    if engine is None:
        raise EngineError(f"TensorRT cannot build the graph: {log.take_error()}")
    if timing_cache and measured:
        _keep_timing_cache(measured, timing_cache)
    return bytes(engine)


def _parser_words(parser: Any) -> str:
    if not parser.num_errors:
        return ""
    fault = parser.get_error(0)
    more = f" (and {parser.num_errors - 1} more)" if parser.num_errors > 1 else ""
    where = f"{fault.node_operator()} {fault.node_name()}".strip()
    return f"{where or 'the model'}: {_one_line(fault.desc())}{more}"


def _one_image_profile(builder: Any, network: Any) -> Any:
    tensor = network.get_input(0)
    shape = tuple(1 if axis < 0 else axis for axis in tensor.shape)
    profile = builder.create_optimization_profile()
    profile.set_shape(tensor.name, shape, shape, shape)
    return profile


def _use_timing_cache(config: Any, path: Path) -> Any:
    """Load the timings of earlier builds; an empty cache if none fits."""
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        stored = b""
    except OSError as error:
        _log.warning("%s: cannot be read (%s); building without earlier timings", path, error.strerror)
        stored = b""
    cache = config.create_timing_cache(stored)
    if cache is None or not config.set_timing_cache(cache, False):
        _log.warning("%s: damaged, or of another GPU or TensorRT; measuring again", path)
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _keep_timing_cache(cache: Any, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as temporary:
            temporary.write_bytes(cache.serialize())
    except OSError as error:
        # The engine is built; only the next build takes longer.
        _log.warning("%s: cannot be written (%s); the next build measures again", path, error.strerror)


def progress_monitor(trt: ModuleType, on_progress: BuildProgress) -> Any:
    """Make a progress monitor that calls `on_progress`; its `interruption` holds the exception that the call raised."""

    class Progress(trt.IProgressMonitor):  # type: ignore[misc,name-defined]  # a module without type hints
        """Calls `on_progress`. An exception in it, Ctrl-C too, ends the build; none may propagate through TensorRT."""

        def __init__(self) -> None:
            super().__init__()
            self.interruption: BaseException | None = None
            self._num_steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._num_steps[phase_name] = num_steps
            self._notify(phase_name, 0.0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            # An interrupted build may end in a step of a phase that never started.
            self._notify(phase_name, (step + 1) / max(1, self._num_steps.get(phase_name, 1)))
            return self.interruption is None

        def phase_finish(self, phase_name: str) -> None:
            self._notify(phase_name, 1.0)

        def _notify(self, phase: str, fraction: float) -> None:
            if self.interruption is None:
                try:
                    on_progress(phase, min(1.0, fraction))
                except BaseException as error:  # noqa: BLE001
                    self.interruption = error

    return Progress()


def _one_line(text: str) -> str:
    return " ".join(text.split())
