"""Points of curves from records."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from benchmarks.report.schemas import Point
from benchmarks.studies.points import at, by_snr, by_symbols, points
from tests.support.reports import record

RECORDS = [record(seed, 0.4 + seed / 10, snr_db=-7.0) for seed in (0, 1)]


def test_a_point_for_each_record() -> None:
    assert list(points(RECORDS, by_snr)) == [Point("kbsc", -7.0, 0, 0.4), Point("kbsc", -7.0, 1, 0.5)]


def test_positions_and_names() -> None:
    assert {(point.curve, point.x) for point in points(RECORDS, by_symbols, "a curve")} == {("a curve", 64)}
    assert {point.x for point in points(RECORDS, at("digits\n0 dB"))} == {"digits\n0 dB"}
