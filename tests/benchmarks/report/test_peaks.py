"""Least times by the roofline model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.peaks import Peaks
from semlink.errors import ConfigError
from tests.support.bench_reports import stage


@given(st.floats(1, 1e12), st.floats(1, 1e15), st.floats(1e6, 1e13), st.floats(1e6, 1e16))
def test_the_floor_is_the_longer_of_the_two(num_bytes: float, operations: float, bandwidth: float, peak: float) -> None:
    counted = stage(1.0, 1.0, bytes_moved=num_bytes, operations=operations)
    assert Peaks(bandwidth, peak).floor_ms(counted) == max(1e3 * num_bytes / bandwidth, 1e3 * operations / peak)
    assert Peaks(bandwidth).floor_ms(counted) == 1e3 * num_bytes / bandwidth
    assert Peaks().floor_ms(counted) is None
    assert Peaks(bandwidth, peak).floor_ms(stage(1.0, 1.0)) is None


def test_units_of_data_sheets() -> None:
    assert Peaks.of(20.0, 1.5) == Peaks(20e9, 1.5e12)
    assert Peaks.of(None, None) == Peaks()


def test_remarks_on_a_table() -> None:
    search, decode = stage(8.192, 9.0, bytes_moved=100_000 * 512 * 4), stage(1.0, 1.1, name="decode")
    assert list(Peaks().remarks([search, decode])) == []
    (remark,) = Peaks(bytes_per_s=50e9).remarks([search, decode])
    assert "at 50 GB/s" in remark
    _, beyond = Peaks(bytes_per_s=10e9).remarks([search, decode])
    assert beyond.startswith("Above 100 %: search.")
    (remark,) = Peaks(operations_per_s=1e12).remarks([search, decode])
    assert "no stage states" in remark


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_peak_is_positive(value: float) -> None:
    with pytest.raises(ConfigError, match="--peak-gb-s must be finite and more than 0"):
        Peaks(bytes_per_s=value)
    with pytest.raises(ConfigError, match="--peak-tflop-s"):
        Peaks(operations_per_s=value)
