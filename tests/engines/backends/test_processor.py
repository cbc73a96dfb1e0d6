"""Names of processors: what Linux says of them, and which instructions count."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import pytest

from engines.backends.processor import instruction_set, processor_name
from engines.backends.target import CPU, Device
from semlink.errors import EngineError
from tests.support.tensorrt_fakes import no_library


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("flags\t\t: fpu sse4_2 avx avx2 bmi2", "AVX2"),
        ("flags\t\t: avx avx2 avx512f avx512bw avx512vl", "AVX-512"),
        ("flags\t\t: avx avx2 avx512bw avx512_vnni", "AVX-512 VNNI"),
        ("flags\t\t: avx avx2 avx_vnni", "AVX VNNI"),
        ("flags\t\t: avx2 avx512bw avx512_vnni amx_int8", "AMX"),
        ("Features\t: fp asimd crc32 asimddp", "dot products"),
        ("Features\t: fp asimd asimddp i8mm", "I8MM"),
        ("flags\t\t: fpu sse4_2", ""),
        ("model name\t: avx2", ""),
    ],
)
def test_best_instructions(line: str, name: str, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{line}\n\nprocessor\t: 1\n{line}\n", encoding="utf-8")
    assert instruction_set(cpuinfo) == f"{platform.machine()} {name}".strip()


def test_where_nothing_is_said_the_architecture_counts(tmp_path: Path) -> None:
    assert instruction_set(tmp_path / "nothing") == platform.machine()


def test_a_cpu_is_named_by_its_instructions_and_a_gpu_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processor_name(CPU) == instruction_set()
    monkeypatch.setattr("engines.backends.processor.require_gpu", lambda index: f"NVIDIA H200 {index}")
    assert processor_name(Device(1)) == "NVIDIA H200 1"


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", no_library)
    with pytest.raises(EngineError, match="no NVIDIA driver here"):
        processor_name(Device(0))
