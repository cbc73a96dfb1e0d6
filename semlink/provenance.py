"""What a measurement was made on and with: recorded in every report, so that a number can be read."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from semlink import __version__
from semlink.errors import ResultsError
from semlink.files import replaced_file

__all__ = ["describe_device", "installed_versions", "now_utc", "require_writable", "write_report"]

_REPORTED = ("numpy", "pillow", "pyzmq", "onnxruntime", "onnx", "faiss-cpu", "faiss-gpu", "torch", "scikit-learn")


def describe_device() -> str:
    """Processor, cores this process may use, and operating system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, {platform.system()} {platform.machine()}"


def installed_versions() -> dict[str, str]:
    """Version of Python, semlink, and each installed package that a figure can depend on."""
    versions = {"python": platform.python_version(), "semlink": __version__}
    for package in _REPORTED:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def now_utc() -> str:
    """Date and time in ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def require_writable(path: Path) -> None:
    """Refuse where a report cannot be written; ResultsError then. Its folder is made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(path.with_name(f"{path.name}.check")) as temporary:
            temporary.touch()
        path.with_name(f"{path.name}.check").unlink()
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None


def write_report(report: msgspec.Struct, path: Path) -> None:
    """Write a report as JSON, whole or not at all; ResultsError if the disk will not take it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None
