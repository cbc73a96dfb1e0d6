"""`make bench`: run the suites, and write a JSON and a readable table into benchmarks/results/."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PERCENTILES = (50, 95, 99, 99.9)
_MEMORY = {
    "tx_peak_resident_mb": "transmitter's peak resident memory",
    "peak_resident_mb": "its peak resident memory",
}


def main() -> None:
    """Run every suite; the exit code is pytest's."""
    RESULTS.mkdir(exist_ok=True)
    raw = RESULTS / "latency-raw.json.part"
    options = ["--benchmark-only", f"--benchmark-json={raw}", "--benchmark-columns=median,iqr,rounds", "-m", ""]
    code = pytest.main([str(HERE), "-q", *options, "--benchmark-warmup=on", "--timeout=900"])
    if code == 0:
        report = reduce(msgspec.json.decode(raw.read_bytes()))
        (RESULTS / "latency.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
        (RESULTS / "latency.md").write_text(table(report), encoding="utf-8")
        print(f"wrote {RESULTS / 'latency.json'} and latency.md")
    raw.unlink(missing_ok=True)
    sys.exit(code)


def reduce(raw: dict[str, Any]) -> dict[str, Any]:
    """Keep percentiles in milliseconds instead of every sample."""
    return {
        "command": "make bench",
        "date": raw["datetime"],
        **raw["machine_info"],
        "commit": raw["commit_info"],
        "benchmarks": [
            {
                "name": benchmark["name"].removeprefix("test_"),
                "num_rounds": len(benchmark["stats"]["data"]),
                **percentiles_ms(benchmark["stats"]["data"]),
                **benchmark["extra_info"],
            }
            for benchmark in raw["benchmarks"]
        ],
    }


def percentiles_ms(data_s: list[float]) -> dict[str, float]:
    """Percentiles of a list of seconds, in milliseconds."""
    values = np.percentile(np.asarray(data_s) * 1e3, PERCENTILES)
    return {f"{_name(p)}_ms": round(float(value), 4) for p, value in zip(PERCENTILES, values, strict=True)}


def _name(percentile: float) -> str:
    return f"p{percentile:g}".replace(".", "")


def table(report: dict[str, Any]) -> str:
    """The same as Markdown."""
    lines = [
        "# Latency",
        "",
        f"{report['device']}; {report['date'][:10]}; encoder on {report['encoder_threads']} threads, everything else"
        " on one; fp32; batch 1. Cold rows are of fresh processes, of which there are too few for percentiles.",
        "",
        "| stage | rounds | p50 ms | p95 ms | p99 ms | p99.9 ms | max ms |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in report["benchmarks"]:
        name = row["name"].replace("_", " ")
        timed = {_name(p): row[f"{_name(p)}_ms"] for p in PERCENTILES} | {"num_samples": row["num_rounds"]}
        lines.append(_row(name, row.get("latency_ms", timed)))
        lines += [_row(f"{name}: {part}", of_part) for part, of_part in row.get("stage_latency_ms", {}).items()]
        lines += [
            f"| {memory}: {row[key]:.0f} MB | | | | | | |"
            for key, memory in _MEMORY.items()
            if row.get(key) is not None
        ]
    return "\n".join(lines) + "\n"


def _row(name: str, timed: dict[str, Any]) -> str:
    values = (timed.get(key) for key in (*map(_name, PERCENTILES), "max"))
    cells = " | ".join("" if value is None else f"{value:.3f}" for value in values)
    return f"| {name} | {timed['num_samples']} | {cells} |"


if __name__ == "__main__":
    main()
