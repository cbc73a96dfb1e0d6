"""Made-up reports of latencies, and stages."""

from __future__ import annotations

from typing import Any

from semlink.report import Report, Stage

__all__ = ["latency_report", "stage"]


def stage(
    p50_ms: float | None, p95_ms: float | None, num_samples: int = 100, *, name: str = "search", **fields: Any
) -> Stage:
    """One stage, whose p99 is its p95."""
    return Stage(name=name, num_samples=num_samples, p50_ms=p50_ms, p95_ms=p95_ms, p99_ms=p95_ms, **fields)


def latency_report(**changes: Any) -> Report:
    """A report of two stages, the second end to end."""
    fields: dict[str, Any] = {
        "kind": "latency",
        "command": "make bench",
        "made_at": "2026-11-21T14:00:00+00:00",
        "device": "a board, 8 cores",
        "versions": {"python": "3.10.12", "semlink": "0.1.0"},
        "machine_state": None,
        "commit": "ab" * 20,
        "settings": {"precision": "fp32", "threads": 2},
        "stages": [
            stage(1.0, 1.05, name="preprocess"),
            stage(2.0, 2.1, 200, name="image in memory to codes", is_end_to_end=True),
        ],
    }
    return Report(**{**fields, **changes})
