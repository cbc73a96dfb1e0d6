"""From pytest-benchmark's JSON to a report."""

from __future__ import annotations

from pathlib import Path

from benchmarks.run import latency_report
from semlink.report import Report, read_report, write_report


def test_the_report_of_make_bench(tmp_path: Path) -> None:
    start = {
        "num_samples": 5,
        "p50_ms": 130.0,
        "max_ms": 190.0,
        "parts": {"python": {"num_samples": 5, "p50_ms": 30.0}},
    }
    raw = {
        "machine_info": {"precision": "fp32", "encoder_threads": 2},
        "benchmarks": [
            {"name": "test_cold_first_image", "stats": {"data": [0.5] * 5}, "extra_info": start},
            {"name": "test_unpack", "stats": {"data": [0.001, 0.002, 0.003]}, "extra_info": {}},
        ],
    }
    write_report(latency_report(raw), tmp_path / "latency.json")
    report = read_report(tmp_path / "latency.json", Report)
    assert (report.kind, report.command) == ("latency", "make bench")
    assert report.settings == {"precision": "fp32", "encoder_threads": 2}
    assert [(stage.name, stage.p50_ms) for stage in report.stages] == [
        ("cold first image", 130.0),
        ("cold first image: python", 30.0),
        ("unpack", 2.0),
    ]
