"""`make soak` with few frames and few entries."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="needs semlink[demo]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from benchmarks import soak
from benchmarks.report.schemas import SoakReport
from semlink.report import read_report


@pytest.mark.process
def test_every_frame_is_matched_and_memory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "MAX_KB_ENTRIES", 10)
    monkeypatch.setattr(soak, "ALLOWED_GROWTH_MB", 1_000.0)  # of so few frames, most is the receiver's start
    out = tmp_path / "soak.json"
    soak.main(frames=100, out=out)
    report = read_report(out, SoakReport)
    assert list(report.resident_mb) == list(range(2, 101, 2))
    assert all(20.0 < value < 4_000.0 for value in report.resident_mb.values())
    assert report.frames_per_s > 0
    assert report.growth_after_warm_up_mb == pytest.approx(report.resident_mb[100] - report.resident_mb[20], abs=0.01)
