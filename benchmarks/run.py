"""`make bench`: run the latency suites and write benchmarks/results/latency.json."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
import typer

from benchmarks.cli import ReportPath, run_command
from benchmarks.rows import row_stages
from semlink.report import Report, provenance, require_writable, write_report

__all__ = ["latency_report"]

HERE = Path(__file__).parent
REPORT = HERE / "results" / "latency.json"


def main(
    out: ReportPath = REPORT,
    select: Annotated[
        str, typer.Option("--select", help="Suites to run, as an expression of pytest's -k.", show_default=False)
    ] = "",
) -> None:
    """Time every stage of the link, and both ends together, on this machine."""
    require_writable(out)
    with tempfile.TemporaryDirectory(prefix="semlink-bench-") as folder:
        raw = Path(folder, "raw.json")
        options = ["--benchmark-only", f"--benchmark-json={raw}", "--benchmark-columns=median,iqr,rounds"]
        plain = ["-q", "-m", "", "-n", "0", "-k", select, "--benchmark-warmup=on", "--timeout=900"]
        code = pytest.main([str(HERE), *plain, *options])
        if code == 0:
            write_report(latency_report(msgspec.json.decode(raw.read_bytes())), out)
            print(f"wrote {out}; semlink bench show {out}")
    raise typer.Exit(int(code))


def latency_report(raw: dict[str, Any]) -> Report:
    """Reduce pytest-benchmark's JSON, which has every sample, to a report."""
    stages = [stage for benchmark in raw["benchmarks"] for stage in row_stages(benchmark)]
    return Report(kind="latency", **provenance("make bench"), settings=raw["machine_info"], stages=stages)


if __name__ == "__main__":
    run_command(main, "benchmarks.run")
