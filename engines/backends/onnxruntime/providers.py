"""ONNX Runtime's providers for a GPU: their requirements, their options, and a check that they run the graph.

By default ONNX Runtime falls back to the CPU where a provider cannot be loaded, and reports it only in its own log.
Here that is an error, which names the missing library.

Source: ONNX Runtime's pages "CUDA Execution Provider" and "TensorRT Execution Provider"; its session option
`session.disable_cpu_ep_fallback` would refuse any graph that computes a shape, because ONNX Runtime computes those few
integers on the CPU. So `require_assignment` checks which provider runs which node.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import io
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from engines.backends.cuda_driver import MINIMUM_CUDA, require_gpu
from engines.backends.onnxruntime.session import (
    CPU_PROVIDER,
    SILENT,
    WARNINGS,
    OnnxRuntimeSession,
    Provider,
    onnxruntime,
)
from semlink.errors import EngineError, MissingDependencyError

__all__ = [
    "CUDA",
    "TENSORRT",
    "cuda_provider",
    "quiet_log",
    "require_assignment",
    "require_provider",
    "tensorrt_provider",
    "tensorrt_version",
]

_log = logging.getLogger(__name__)

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"

_LIBRARIES = {CUDA: "libonnxruntime_providers_cuda.so", TENSORRT: "libonnxruntime_providers_tensorrt.so"}
_TENSORRT_LIBRARIES = ("libnvinfer.so.10", "libnvinfer.so.8", "libnvinfer.so")
_GPU_BUILD = "'onnxruntime-gpu[cuda,cudnn]'"
_OTHERWISE = "or choose --device cpu with --backend onnxruntime"
_SHAPE_OPERATORS = frozenset(
    ("Cast", "Concat", "Constant", "Gather", "Range", "Reshape", "Shape", "Size", "Slice", "Squeeze", "Unsqueeze")
)
"""Operators of shape arithmetic, on a few integers each."""


def require_provider(provider: str, device_index: int) -> str:
    """Check that this build has a provider, and this machine the GPU and the libraries; return the GPU's name.

    Raises
    ------
    MissingDependencyError
        If this ONNX Runtime is built without the provider, or a library that the provider needs is missing.
    EngineError
        If there is no driver, it is too old for this build, or there is no such GPU.
    """
    present = onnxruntime.get_available_providers()
    if provider not in present:
        raise MissingDependencyError(
            f"onnxruntime {onnxruntime.__version__} here is built without {provider} (it has {', '.join(present)}):"
            f" pip uninstall onnxruntime, then pip install -c constraints.txt {_GPU_BUILD}; {_OTHERWISE}"
        )
    # Before any of CUDA's libraries; a driver runs every minor version of its major one.
    built_for = str(getattr(onnxruntime, "cuda_version", "")).partition(".")[0]
    minimum = (int(built_for), 0) if built_for.isdecimal() else MINIMUM_CUDA
    gpu = require_gpu(device_index, max(minimum, MINIMUM_CUDA), otherwise=_OTHERWISE)
    _load_libraries(provider)
    _require_libraries(provider)
    return gpu


def cuda_provider(device_index: int) -> Provider:
    """The CUDA provider on one GPU."""
    # It would round the factors of fp32 products to ten bits on newer GPUs; fp16 is the user's choice to make.
    return CUDA, {"device_id": str(device_index), "use_tf32": "0"}


def tensorrt_provider(device_index: int, folder: Path, *, workspace_bytes: int) -> Provider:
    """The TensorRT provider on one GPU, with engine and timing caches in a folder.

    Without a precision option the network has the types of the graph: strongly typed, from TensorRT 10 on.
    """
    return TENSORRT, {
        "device_id": str(device_index),
        "trt_max_workspace_size": str(workspace_bytes),
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
    }


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """Keep ONNX Runtime's own log off stderr inside the block, unless logging is verbose (`semlink -v`)."""
    is_quiet = not _log.isEnabledFor(logging.INFO)
    if is_quiet:
        onnxruntime.set_default_logger_severity(SILENT)
    try:
        yield
    finally:
        if is_quiet:
            onnxruntime.set_default_logger_severity(WARNINGS)


def require_assignment(session: OnnxRuntimeSession, provider: str) -> str:
    """Check that a session runs in a provider; nodes that run in another one are logged.

    Returns
    -------
    assigned : "N of M nodes", for a description; "" where ONNX Runtime is too old to report it

    Raises
    ------
    EngineError
        If ONNX Runtime fell back to another provider, or the provider runs no node of the graph.
    """
    providers = session.raw.get_providers()
    if providers[0] != provider:
        _refuse(session, provider, f"it would run in {', '.join(providers)}")
    placed = session.operators()
    num_nodes = sum(operators.total() for operators in placed.values())
    if num_nodes and provider not in placed:
        _refuse(session, provider, f"it runs none of the {num_nodes} nodes, which would run in {', '.join(placed)}")
    on_cpu = placed.get(CPU_PROVIDER, Counter())
    if others := sorted(on_cpu.keys() - _SHAPE_OPERATORS):
        _log.warning(
            "%s: %d of %d nodes run on the CPU, because no GPU provider supports them: %s",
            *(session.name, sum(on_cpu[operator] for operator in others), num_nodes, ", ".join(others)),
        )
    if not num_nodes:
        return ""
    assigned = f"{placed[provider].total()} of {num_nodes} nodes"
    if provider == TENSORRT and CUDA in placed:
        _log.warning(
            "%s: %s in %s, the rest in CUDA: %s", session.name, assigned, provider, ", ".join(sorted(placed[CUDA]))
        )
    return assigned


def _refuse(session: OnnxRuntimeSession, provider: str, instead: str) -> NoReturn:
    raise EngineError(
        f"{session.name}: ONNX Runtime {onnxruntime.__version__} does not run it in {provider}: {instead};"
        f" its own log says why (semlink -v), {_OTHERWISE}"
    )


def tensorrt_version() -> str:
    """The version of TensorRT that the provider runs: of the module `tensorrt`, else of its library, else "unknown"."""
    if importlib.util.find_spec("tensorrt") is not None:
        from engines.backends.tensorrt.builder import load_tensorrt

        with contextlib.suppress(EngineError, MissingDependencyError):
            return str(load_tensorrt().__version__)
    for name in _TENSORRT_LIBRARIES:
        with contextlib.suppress(OSError, AttributeError):
            version = int(ctypes.CDLL(name).getInferLibVersion())
            # 10.3.0 is 100300; 8.6.1 was 8601.
            major, rest = divmod(version, 10_000 if version >= 100_000 else 1_000)
            return f"{major}.{rest // 100}.{rest % 100}"
    return "unknown"


def _load_libraries(provider: str) -> None:
    """Load libraries that pip installed outside of the loader's search path."""
    if hasattr(onnxruntime, "preload_dlls"):
        # It prints missing libraries to stdout; the provider's own library reports those that are needed.
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()
    if provider == TENSORRT and importlib.util.find_spec("tensorrt") is not None:
        from engines.backends.tensorrt.builder import load_tensorrt

        # Its libraries come with the module; failing here is fine, since they may lie in the loader's path as well.
        with contextlib.suppress(EngineError, MissingDependencyError):
            load_tensorrt()


def _require_libraries(provider: str) -> None:
    """Raise for a missing library by name; ONNX Runtime reports it only in its log."""
    library = _LIBRARIES[provider]
    try:
        # The loader resolves libraries before symbols, and only ONNX Runtime provides this one's symbols.
        ctypes.CDLL(str(Path(onnxruntime.__file__).parent / "capi" / library))
    except OSError as error:
        words = str(error)
        # A build with the provider in another place finds it by itself.
        if "cannot open shared object file" not in words or library in words:
            return
        fix = "the TensorRT that has it" if "libnv" in words else f"it with pip install -c constraints.txt {_GPU_BUILD}"
        raise MissingDependencyError(
            f"{provider} of onnxruntime {onnxruntime.__version__} cannot be loaded: {words};"
            f" install {fix}, {_OTHERWISE}"
        ) from None
