"""The report of `semlink engine bench`."""

from __future__ import annotations

from pathlib import Path

from engines.bench import bench_report
from semlink.report import Report, read_report, write_report
from semlink.timing import summarize_latency


def test_written_and_read(tmp_path: Path) -> None:
    latency = {
        "preprocess": summarize_latency([1.0, 2.0, 3.0]),
        "image in memory to codes": summarize_latency([4.0, 5.0, 6.0]),
        "never ran": summarize_latency([]),
    }
    settings = {"engine": "onnxruntime, CPU", "precision": "fp32"}
    write_report(bench_report(latency, settings, command="semlink engine bench"), tmp_path / "bench.json")
    report = read_report(tmp_path / "bench.json", Report)
    assert (report.kind, report.command, report.settings) == ("engine-bench", "semlink engine bench", settings)
    assert [(stage.name, stage.num_samples, stage.p50_ms, stage.is_end_to_end) for stage in report.stages] == [
        ("preprocess", 3, 2.0, False),
        ("image in memory to codes", 3, 5.0, True),
        ("never ran", 0, None, False),
    ]
