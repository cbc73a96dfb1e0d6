"""What `semlink engine bench` writes is what `semlink bench-report` reads, today's files and older ones."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.report.files import read_bench_file
from engines.bench import EngineBench
from semlink.machine import GpuState, MachineState, write_report
from semlink.timing import summarize_latency

REPORT = EngineBench(
    date="2026-11-21T14:00:00+00:00",
    device="a board",
    versions={"python": "3.10.12"},
    engine="onnxruntime, CPU",
    model_set="builtin",
    codec="nested",
    precision="fp32",
    picture_px=(1280, 720),
    latency_ms={"engine": summarize_latency([1.0, 2.0, 3.0]), "never ran": summarize_latency([])},
    machine_state=MachineState(power_mode="MAXN", gpus=(GpuState("Orin", sm_mhz=1020.0),)),
)


def test_written_and_read(tmp_path: Path) -> None:
    write_report(REPORT, tmp_path / "bench.json")
    file = read_bench_file(tmp_path / "bench.json")
    assert (file.kind, file.device, file.machine) == ("engine", REPORT.device, REPORT.machine_state)
    assert [(stage.name, stage.num_samples, stage.p50) for stage in file.stages] == [
        ("engine", 3, 2.0),
        ("never ran", 0, None),
    ]


def test_a_report_from_before_clocks_were_recorded(tmp_path: Path) -> None:
    fields = msgspec.to_builtins(msgspec.structs.replace(REPORT, latency_ms={}))
    del fields["machine_state"]
    old = msgspec.json.encode(fields)
    (tmp_path / "old.json").write_bytes(old)
    assert read_bench_file(tmp_path / "old.json").machine is None
    assert msgspec.json.decode(old, type=EngineBench).machine_state is None
