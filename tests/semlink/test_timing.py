"""Stage clocks and their percentiles."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semlink.timing import StageClock, summarize_latency


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_percentiles_are_numpys_and_in_order(latency_ms: list[float]) -> None:
    summary = summarize_latency(latency_ms)
    assert summary.num_samples == len(latency_ms)
    assert summary.p50 <= summary.p95 <= summary.p99 <= summary.p999
    assert summary.p99 == pytest.approx(float(np.percentile(latency_ms, 99)))
    assert summary.mean == pytest.approx(float(np.mean(latency_ms)))


def test_no_samples() -> None:
    summary = summarize_latency([])
    assert summary.num_samples == 0
    assert all(map(math.isnan, (summary.mean, summary.p50, summary.p95, summary.p99, summary.p999)))


def test_numpy_array_is_a_sample() -> None:
    assert summarize_latency(np.arange(3.0)).p50 == 1.0


def test_stage_is_at_least_what_it_slept() -> None:
    clock = StageClock()
    with clock.stage("wait"):
        deadline_s = time.perf_counter() + 0.01
        while time.perf_counter() < deadline_s:
            pass
    assert clock.last_ms["wait"] >= 10.0
    assert clock.summary()["wait"].num_samples == 1


def test_stage_that_raises_is_no_sample() -> None:
    clock = StageClock()
    with pytest.raises(ValueError, match="broken"), clock.stage("decode"):
        raise ValueError("broken")
    assert clock.summary() == {}
    assert clock.last_ms == {}


def test_stages_keep_the_order_in_which_they_first_ran() -> None:
    clock = StageClock()
    for name in ("encode", "pack", "encode", "send"):
        clock.record(name, 1.0)
    assert list(clock.summary()) == ["encode", "pack", "send"]


def test_endless_run_keeps_the_latest() -> None:
    clock = StageClock(capacity=10)
    for value in range(1000):
        clock.record("send", float(value))
    summary = clock.summary()["send"]
    assert summary.num_samples <= 10
    assert summary.p50 > 990
    assert clock.last_ms["send"] == 999
