"""Tables and figures of semantic accuracy."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("scipy", reason="needs semlink[train]")

from benchmarks.report.accuracy import draw_study, evaluation_table, study_table
from benchmarks.report.files import read_report_file
from benchmarks.report.schemas import Point, StudyReport
from benchmarks.report.sections import report_section
from semlink.report import provenance, write_report
from tests.support.reports import record, report_of


def study(*points: Point, x_label: str = "") -> StudyReport:
    return StudyReport(**provenance("study"), name="a-study", x_label=x_label, points=list(points))


def test_an_evaluation_by_snr(tmp_path: Path) -> None:
    records = [record(seed, 0.4 + 0.1 * seed, snr_db=snr) for snr in (0.0, 10.0) for seed in (0, 1, 2)]
    records.append(record(0, 0.9, codec="nested", snr_db=0.0))
    report = report_of(*records)
    table = evaluation_table(report.summary)
    assert table.headers == ("codec", "channel", "symbols", "0 dB", "10 dB")
    assert table.rows == (
        ("kbsc", "awgn", "64", "0.500 ±0.248", "0.500 ±0.248"),
        ("nested", "awgn", "64", "0.900", ""),
    )
    write_report(report, tmp_path / "accuracy.json")
    section = report_section(read_report_file(tmp_path / "accuracy.json"))
    assert section.verdict == (
        "Highest mean accuracy over all rates and SNRs: awgn: nested, 0.900. Noiseless retrieval: 0.600."
    )
    assert section.tables == (table,)


def test_a_study_over_numbers() -> None:
    points = [Point("one", x, seed, 0.5 + 0.1 * seed) for x in (10, 4) for seed in (0, 1, 2)]
    report = study(*points, Point("bound", 4, 0, 0.9), x_label="symbols")
    table = study_table(report)
    assert table.headers == ("symbols", "4", "10")
    assert table.rows == (("one", "0.600 ±0.248", "0.600 ±0.248"), ("bound", "0.900", ""))


def test_a_study_over_names() -> None:
    table = study_table(study(Point("nested", "digits\n0 dB", 0, 0.5), Point("kbsc", "photos\n0 dB", 0, 0.6)))
    assert table.headers == ("curve", "digits, 0 dB", "photos, 0 dB")
    assert table.rows == (("nested", "0.500", ""), ("kbsc", "", "0.600"))


@pytest.mark.parametrize("positions", [(4, 64), (-7.0, 10.0), ("digits", "photos")])
def test_a_study_is_drawn(tmp_path: Path, positions: tuple[float | str, float | str]) -> None:
    pytest.importorskip("matplotlib", reason="needs semlink[demo]")
    report = study(*(Point(curve, x, 0, 0.5) for curve in ("one", "other") for x in positions))
    draw_study(report, tmp_path / "study.svg")
    assert "<svg" in (tmp_path / "study.svg").read_text()


def test_a_study_as_a_section(tmp_path: Path) -> None:
    write_report(study(Point("nested", 4, 0, 0.5), x_label="symbols"), tmp_path / "study.json")
    section = report_section(read_report_file(tmp_path / "study.json"))
    assert section.chart is not None
    assert section.tables[0].rows == (("nested", "0.500"),)
