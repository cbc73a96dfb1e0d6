"""Stages from what pytest-benchmark measured."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.rows import latency_fields, row_stages
from semlink.report import Stage
from semlink.timing import summarize_latency


def test_rounds_become_percentiles() -> None:
    rounds_s = [0.001 * number for number in range(1, 102)]
    (stage,) = row_stages(
        {"name": "test_search[5000]", "stats": {"data": rounds_s}, "extra_info": {"bytes_moved": 10, "notes": {"a": 1}}}
    )
    assert (stage.name, stage.num_samples, stage.is_end_to_end) == ("search[5000]", 101, False)
    assert (stage.p50_ms, stage.p95_ms) == (pytest.approx(51.0), pytest.approx(96.0))
    assert (stage.bytes_moved, stage.notes) == (10.0, {"a": 1})


def test_a_suite_that_measures_by_itself_replaces_the_rounds() -> None:
    """Such as one round of a whole stream, whose frames are what counts."""
    whole, encode = (summarize_latency(values) for values in ([12.0] * 30, [10.0] * 30))
    extra_info = {
        **latency_fields(whole),
        "parts": {"tx encode": latency_fields(encode)},
        "memory_mb": {"transmitter, peak resident": 176.4},
    }
    benchmark = {"name": "test_end_to_end_two_processes", "stats": {"data": [36.0]}, "extra_info": extra_info}
    assert list(row_stages(benchmark)) == [
        msgspec.structs.replace(
            Stage.of("end to end two processes", whole, is_end_to_end=True),
            memory_mb={"transmitter, peak resident": 176.4},
        ),
        Stage.of("end to end two processes: tx encode", encode),
    ]
