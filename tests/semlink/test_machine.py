"""Clocks and power mode that a machine reports are recorded; what it does not report is absent."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from semlink.machine import GpuState, MachineState, machine_state, num_cores


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the search path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def add_tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_machine_that_reports_nothing(tools: Path) -> None:
    state = machine_state(cpufreq=tools / "cpufreq")
    assert state == MachineState()
    assert "cpu" not in msgspec.json.encode(state).decode()  # absent, not null


def test_a_machine_that_reports_everything(tools: Path, tmp_path: Path) -> None:
    cpufreq = tmp_path / "cpufreq"
    cpufreq.mkdir()
    (cpufreq / "scaling_governor").write_text("schedutil\n")
    (cpufreq / "scaling_cur_freq").write_text("1510400\n")
    add_tool(tools, "nvpmodel", '[ "$1" = -q ] && echo "NV Fan Mode:quiet" && echo "NV Power Mode: MAXN" && echo 0')
    # Like the real one, it never ends by itself.
    add_tool(tools, "tegrastats", "while echo 'RAM 2448/7772MB GR3D_FREQ 99%'; do /bin/sleep 0.05; done")
    add_tool(
        tools,
        "nvidia-smi",
        "echo 'Orin (nvgpu), 540.4.0, [N/A], [N/A], [N/A], [N/A]'; echo 'X, 1, 1980, 2619, 700.00, P0'",
    )
    assert machine_state(cpufreq=cpufreq, query_timeout_s=60.0, tegrastats_s=2.0) == MachineState(
        cpu_governor="schedutil",
        cpu_mhz=1510.4,
        power_mode="MAXN",
        tegrastats="RAM 2448/7772MB GR3D_FREQ 99%",
        gpus=(GpuState("Orin (nvgpu)", "540.4.0"), GpuState("X", "1", 1980.0, 2619.0, 700.0, "P0")),
    )


@pytest.mark.parametrize(
    "script", ["exit 9", "echo NVIDIA-SMI has failed", "printf '\\377\\376'", "exec /bin/sleep 300"]
)
def test_a_tool_that_fails_or_hangs_is_as_if_absent(tools: Path, script: str) -> None:
    for name in ("nvidia-smi", "nvpmodel"):
        add_tool(tools, name, script)
    (tools / "tegrastats").mkdir()  # not even a program
    assert machine_state(cpufreq=tools / "cpufreq", query_timeout_s=0.3) == MachineState()


def test_of_this_machine() -> None:
    state = machine_state()
    assert msgspec.json.decode(msgspec.json.encode(state), type=MachineState) == state
    assert state.cpu_mhz is None or state.cpu_mhz > 0


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 5})
    assert num_cores() == 3


def test_cores_of_a_system_without_affinities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert num_cores() == 7
