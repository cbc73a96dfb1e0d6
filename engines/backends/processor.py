"""Name of the processor that runs a graph, by what its int8 depends on."""

from __future__ import annotations

import platform
from pathlib import Path

from engines.backends.cuda_driver import require_gpu
from engines.backends.target import Device

__all__ = ["instruction_set", "processor_name"]

_CPUINFO = Path("/proc/cpuinfo")
_FLAG_LINES = ("flags", "Features")
_INSTRUCTIONS = {
    "amx_int8": "AMX",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "avx512bw": "AVX-512",
    "avx2": "AVX2",
    "i8mm": "I8MM",
    "asimddp": "dot products",
}
"""Linux's flags of the instructions that ONNX Runtime chooses its int8 kernels by, best first."""


def processor_name(device: Device) -> str:
    """Name of a processor: of a CPU its instruction set, of a GPU its own, such as "NVIDIA H200".

    Raises
    ------
    EngineError
        If it is a GPU that is not there.
    """
    return instruction_set() if device.gpu is None else require_gpu(device.gpu)


def instruction_set(cpuinfo: Path = _CPUINFO) -> str:
    """Architecture of this machine's CPU and the best instructions that it has for int8, such as "x86_64 AVX2".

    Parameters
    ----------
    cpuinfo : Linux's description of the CPU; elsewhere there is none, and the architecture is all that is known
    """
    machine = platform.machine()
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return machine
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(_FLAG_LINES)), [])
    best = next((name for flag, name in _INSTRUCTIONS.items() if flag in flags), "")
    return f"{machine} {best}".strip()
