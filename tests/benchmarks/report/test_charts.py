"""Figures of latencies and of their changes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.report.charts import draw_changes, draw_stages
from benchmarks.report.compare import compare
from semlink.errors import MissingDependencyError
from tests.support.bench_reports import latency_report, stage


def test_stages_and_changes_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs semlink[demo]")
    stages = [stage(1.0 + number, 2.0 + number, name=f"stage {number}") for number in range(30)]
    older = latency_report(stages=[*stages, stage(None, None, 0, name="never")])
    newer = latency_report(stages=[stage(9.0, 9.5, name=each.name) for each in older.stages])
    draw_stages(older.stages, tmp_path / "stages.svg")
    draw_changes(compare(newer, older), tmp_path / "changes.svg")
    for name in ("stages.svg", "changes.svg"):
        svg = (tmp_path / name).read_text()
        assert "<svg" in svg
        assert "dc:date" not in svg, "the same figure has the same bytes"
    before = (tmp_path / "stages.svg").read_bytes()
    draw_stages(older.stages, tmp_path / "stages.svg")
    assert (tmp_path / "stages.svg").read_bytes() == before


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"a chart needs matplotlib.*\.\[demo\]"):
        draw_stages([stage(1.0, 1.1)], tmp_path / "stages.svg")
