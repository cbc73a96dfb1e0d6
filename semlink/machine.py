"""Device, package versions, clocks and power mode: the machine that a figure was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from semlink import __version__

__all__ = [
    "GpuState",
    "MachineState",
    "describe_device",
    "installed_versions",
    "machine_state",
    "now_utc",
    "num_cores",
    "peak_resident_mb",
]

_REPORTED = (
    *("numpy", "pillow", "pyzmq", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt", "pycuda"),
    *("faiss-cpu", "faiss-gpu", "faiss-gpu-cuvs", "torch", "scikit-learn"),
)

CPUFREQ = Path("/sys/devices/system/cpu/cpu0/cpufreq")
"""The kernel's folder on the first core's clock."""


class GpuState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of nvidia-smi; None where the driver gives no number, as on a Jetson."""

    name: str
    driver: str | None = None
    sm_mhz: float | None = None
    memory_mhz: float | None = None
    power_limit_w: float | None = None
    performance_state: str | None = None


class MachineState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Clocks and power mode; None for whatever the machine does not report.

    Attributes
    ----------
    cpu_governor, cpu_mhz : of the first core, from the kernel's cpufreq
    power_mode : of a Jetson, from nvpmodel
    tegrastats : one line of it, as it is
    gpus : from nvidia-smi
    """

    cpu_governor: str | None = None
    cpu_mhz: float | None = None
    power_mode: str | None = None
    tegrastats: str | None = None
    gpus: tuple[GpuState, ...] = ()


def describe_device() -> str:
    """Name the processor, the number of cores that this process may use, and the operating system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {num_cores()} cores, {platform.system()} {platform.machine()}"


def num_cores() -> int:
    """Number of cores that this process may use, which `taskset` or a container makes fewer than the machine has."""
    # Not every system that Python runs on has affinities.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def installed_versions() -> dict[str, str]:
    """Give the versions of Python, semlink, and each installed package that a figure can depend on."""
    versions = {"python": platform.python_version(), "semlink": __version__}
    for package in _REPORTED:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def machine_state(*, cpufreq: Path = CPUFREQ, query_timeout_s: float = 2.0, tegrastats_s: float = 1.0) -> MachineState:
    """Read clocks and power mode; call it right after a measurement, while the clocks are still its own.

    Values of a tool that is missing, fails or hangs are None.

    Parameters
    ----------
    cpufreq : the kernel's folder on a core's clock
    query_timeout_s : longest time that one tool gets [s]
    tegrastats_s : time after which tegrastats is stopped [s], which prints five lines a second and never ends by itself
    """
    khz = _kernel_value(cpufreq / "scaling_cur_freq")
    mode = [line for line in _output(["nvpmodel", "-q"], query_timeout_s) if line.startswith("NV Power Mode:")]
    sample = _output(["tegrastats", "--interval", "200"], tegrastats_s, ends=False)
    query = "--query-gpu=name,driver_version,clocks.sm,clocks.mem,power.limit,pstate"
    lines = _output(["nvidia-smi", query, "--format=csv,noheader,nounits"], query_timeout_s)
    gpus = [_gpu_state(line) for line in lines]
    return MachineState(
        cpu_governor=_kernel_value(cpufreq / "scaling_governor"),
        cpu_mhz=int(khz) / 1e3 if khz and khz.isdecimal() else None,
        power_mode=mode[0].partition(":")[2].strip() if mode else None,
        tegrastats=sample[0] if sample else None,
        gpus=tuple(gpu for gpu in gpus if gpu is not None),
    )


def _kernel_value(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _output(command: Sequence[str], timeout_s: float, *, ends: bool = True) -> list[str]:
    """Run a tool; no lines if it is absent, fails, or does not end though it should."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=ends
        ).stdout
    except subprocess.TimeoutExpired as error:
        done = b"" if ends else error.output or b""
    except (OSError, subprocess.CalledProcessError):
        return []
    return [line.strip() for line in done.decode(errors="replace").splitlines() if line.strip()]


def _gpu_state(line: str) -> GpuState | None:
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != 6:
        return None
    name, driver, sm_mhz, memory_mhz, power_limit_w, performance_state = fields
    return GpuState(
        name=name,
        driver=_text(driver),
        sm_mhz=_number(sm_mhz),
        memory_mhz=_number(memory_mhz),
        power_limit_w=_number(power_limit_w),
        performance_state=_text(performance_state),
    )


def _text(field: str) -> str | None:
    """Give None for nvidia-smi's "[N/A]" and its like."""
    return None if not field or field.startswith("[") else field


def _number(field: str) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None


def peak_resident_mb() -> float:
    """Largest resident memory of this process so far [MB].

    Read from /proc, since getrusage counts what the parent held before it started this process.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def now_utc() -> str:
    """Give the date and time in ISO 8601, UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
