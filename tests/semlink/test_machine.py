"""What a machine tells of its clocks is recorded, and what it does not tell is absent."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from semlink import machine as provenance
from semlink.machine import GpuState, MachineState, machine_state


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that alone is on the path, and no cpufreq."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(provenance, "_CPUFREQ", tmp_path / "cpufreq")
    return folder


def add_tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_machine_that_tells_nothing(tools: Path) -> None:
    assert machine_state() == MachineState()
    assert "cpu" not in msgspec.json.encode(machine_state()).decode()  # absent, not null


def test_a_machine_that_tells_everything(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpufreq = tmp_path / "cpufreq"
    cpufreq.mkdir()
    (cpufreq / "scaling_governor").write_text("schedutil\n")
    (cpufreq / "scaling_cur_freq").write_text("1510400\n")
    add_tool(tools, "nvpmodel", '[ "$1" = -q ] && echo "NV Fan Mode:quiet" && echo "NV Power Mode: MAXN" && echo 0')
    # As the real one, it goes on for ever.
    add_tool(tools, "tegrastats", "while echo 'RAM 2448/7772MB GR3D_FREQ 99%'; do /bin/sleep 0.05; done")
    monkeypatch.setattr(provenance, "_TEGRASTATS_S", 0.5)
    add_tool(
        tools,
        "nvidia-smi",
        "echo 'Orin (nvgpu), 540.4.0, [N/A], [N/A], [N/A], [N/A]'; echo 'X, 1, 1980, 2619, 700.00, P0'",
    )
    assert machine_state() == MachineState(
        cpu_governor="schedutil",
        cpu_mhz=1510.4,
        power_mode="MAXN",
        tegrastats="RAM 2448/7772MB GR3D_FREQ 99%",
        gpus=(GpuState("Orin (nvgpu)", "540.4.0"), GpuState("X", "1", 1980.0, 2619.0, 700.0, "P0")),
    )


@pytest.mark.parametrize(
    "script", ["exit 9", "echo NVIDIA-SMI has failed", "printf '\\377\\376'", "exec /bin/sleep 30"]
)
def test_a_tool_that_fails_or_hangs_is_as_if_absent(tools: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(provenance, "_QUERY_TIMEOUT_S", 0.3)
    for name in ("nvidia-smi", "nvpmodel"):
        add_tool(tools, name, script)
    (tools / "tegrastats").mkdir()  # not even a program
    assert machine_state() == MachineState()


def test_of_this_machine() -> None:
    state = machine_state()
    assert msgspec.json.decode(msgspec.json.encode(state), type=MachineState) == state
    assert state.cpu_mhz is None or state.cpu_mhz > 0
