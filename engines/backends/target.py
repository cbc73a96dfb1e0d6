"""Where a graph runs: backends, devices, and the choice between them."""

from __future__ import annotations

import importlib.util
import logging
import re
from dataclasses import dataclass

from engines.backends.cuda_driver import probe_driver
from engines.options import check_backend
from semlink.errors import ConfigError, EngineError

__all__ = [
    "BACKENDS",
    "CPU",
    "DEFAULT_TARGET",
    "Device",
    "Implementation",
    "Target",
    "choose_target",
    "missing_for_tensorrt",
]

_log = logging.getLogger(__name__)

_OTHERWISE = "or choose --device cpu"


@dataclass(frozen=True)
class Implementation:
    """The class of a backend for each processor, as module:class, imported on first use; "" where it does not run.

    Attributes
    ----------
    builds : whether it builds an engine for one image at a time; builds take long and are stored
    """

    on_cpu: str = ""
    on_gpu: str = ""
    builds: bool = False


BACKENDS: dict[str, Implementation] = {
    "onnxruntime": Implementation(
        on_cpu="engines.backends.onnxruntime.cpu:OnnxRuntimeRunner",
        on_gpu="engines.backends.onnxruntime.gpu:CudaProviderRunner",
    ),
    "onnxruntime-tensorrt": Implementation(
        on_gpu="engines.backends.onnxruntime.gpu:TensorRtProviderRunner", builds=True
    ),
    "tensorrt": Implementation(on_gpu="engines.backends.tensorrt.runner:TensorRtRunner", builds=True),
}
"""By the name that `--backend` takes."""


@dataclass(frozen=True)
class Device:
    """A processor, by the name that `--device` takes.

    Attributes
    ----------
    gpu : number of the GPU, in the driver's order; None for the CPU

    Examples
    --------
    >>> str(Device.parse("gpu")), str(Device.parse("gpu:1")), Device.parse("auto")
    ('gpu:0', 'gpu:1', None)
    """

    gpu: int | None = None

    @classmethod
    def parse(cls, text: str) -> Device | None:
        """Read "cpu", "gpu" (the first) or "gpu:N"; None for "auto", ConfigError for anything else."""
        if text == "auto":
            return None
        match = re.fullmatch(r"cpu|gpu(?::(\d{1,4}))?", text, re.ASCII)
        if match is None:
            raise ConfigError(f'device "{text}" is not known; choose from: auto, cpu, gpu, gpu:N for the N-th from 0')
        return cls() if text == "cpu" else cls(int(match[1] or 0))

    def __str__(self) -> str:
        return "cpu" if self.gpu is None else f"gpu:{self.gpu}"


CPU = Device()


@dataclass(frozen=True)
class Target:
    """A backend of `BACKENDS`, and a device on which it runs."""

    backend: str = "onnxruntime"
    device: Device = CPU

    @property
    def implementation(self) -> str:
        """The class that runs graphs there, as module:class."""
        backend = BACKENDS[self.backend]
        return backend.on_cpu if self.device == CPU else backend.on_gpu

    @property
    def builds(self) -> bool:
        """Whether an engine is built and stored."""
        return BACKENDS[self.backend].builds

    def __str__(self) -> str:
        return f"{self.backend} on {self.device}"


DEFAULT_TARGET = Target()
"""The target that every machine has."""


def choose_target(backend: str = "auto", device: str = "auto", *, is_one_image: bool) -> Target:
    """Resolve backend and device; "auto" selects what suits this machine, and logs it with the reason.

    With "auto" only TensorRT selects a GPU. ONNX Runtime stays on the CPU unless a GPU is named: the requirements of
    its CUDA provider show only when a graph is loaded, and int8 graphs for a GPU differ from those for a CPU.

    Parameters
    ----------
    backend : a name of `BACKENDS`, or "auto"
    device : see `Device.parse`
    is_one_image : whether every call has the same batch size, as TensorRT engines need; "auto" selects TensorRT only
        then

    Raises
    ------
    ConfigError
        If there is no such backend or device, or the one does not run on the other.
    EngineError
        If a GPU is named, and no driver responds.
    """
    named = Device.parse(device)
    if backend == "auto":
        target, reason = _fastest(named, is_one_image=is_one_image)
        _log.info("backend auto: chose %s (%s)", target, reason)
        return target
    check_backend(backend)
    if named is None and BACKENDS[backend].on_cpu:
        _log.info("device auto: chose cpu (%s runs there; --device gpu is its CUDA provider)", backend)
        return Target(backend, CPU)
    if named == CPU and not BACKENDS[backend].on_cpu:
        raise ConfigError(f"backend {backend} runs on a GPU only: choose --device gpu, or --backend onnxruntime")
    return Target(backend, named or Device(0))


def missing_for_tensorrt() -> list[str]:
    """Missing packages of the backend tensorrt; nothing is imported."""
    return [name for name in ("tensorrt", "pycuda") if importlib.util.find_spec(name) is None]


def _fastest(named: Device | None, *, is_one_image: bool) -> tuple[Target, str]:
    """TensorRT where it is installed and a driver responds, else ONNX Runtime; and the reason."""
    if named == CPU:
        return DEFAULT_TARGET, "the backend of CPUs"
    packages = missing_for_tensorrt()
    if not is_one_image or packages:
        reason = f"no {' and no '.join(packages)} here" if is_one_image else "any batch"
        return Target("onnxruntime", named or CPU), reason
    try:
        driver = probe_driver(otherwise=_OTHERWISE)
    except EngineError as error:
        if named is not None:
            raise
        return DEFAULT_TARGET, str(error)
    return Target("tensorrt", named or Device(0)), f"CUDA {driver.cuda[0]}.{driver.cuda[1]}"
