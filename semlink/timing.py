"""Where the time of a transmission goes: stage clocks, and their percentiles."""

from __future__ import annotations

import time
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
import numpy as np

__all__ = ["LatencySummary", "StageClock", "elapsed_ms", "summarize_latency"]


def elapsed_ms(start_ns: int) -> float:
    """Milliseconds since a value of `time.perf_counter_ns`."""
    return (time.perf_counter_ns() - start_ns) / 1e6


class LatencySummary(msgspec.Struct, frozen=True):
    """Percentiles of one stage's latency, all in milliseconds of host wall clock."""

    num_samples: int
    mean: float
    p50: float
    p95: float
    p99: float
    p999: float


def summarize_latency(latency_ms: Sequence[float]) -> LatencySummary:
    """Percentiles of a sample; every field is NaN for an empty one.

    Examples
    --------
    >>> summarize_latency([1.0, 2.0, 3.0]).p50
    2.0
    """
    if not len(latency_ms):
        return LatencySummary(0, *(float("nan"),) * 5)
    values = np.asarray(latency_ms, dtype=np.float64)
    p50, p95, p99, p999 = np.percentile(values, (50, 95, 99, 99.9))
    return LatencySummary(len(values), float(values.mean()), float(p50), float(p95), float(p99), float(p999))


class StageClock:
    """Collects the milliseconds that each named stage took.

    Keeps the last `capacity` samples of a stage, so that an endless run has a bounded memory.

    Examples
    --------
    >>> clock = StageClock()
    >>> with clock.stage("decode"):
    ...     pass
    >>> clock.summary()["decode"].num_samples
    1
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self._capacity = capacity
        # Eight bytes a sample: an endless run fills this and nothing else.
        self._samples_ms: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self.last_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body of a with statement; a body that raises is not a sample."""
        start_ns = time.perf_counter_ns()
        yield
        self.record(name, elapsed_ms(start_ns))

    def record(self, name: str, duration_ms: float) -> None:
        """Add a sample that was measured elsewhere."""
        samples = self._samples_ms[name]
        if len(samples) >= self._capacity:
            del samples[: self._capacity // 2]
        samples.append(duration_ms)
        self.last_ms[name] = duration_ms

    def summary(self) -> dict[str, LatencySummary]:
        """Percentiles of every stage, in the order in which the stages first ran."""
        return {name: summarize_latency(samples) for name, samples in self._samples_ms.items()}
