"""Sections of reports of every kind, and of comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from benchmarks.report.compare import compare
from benchmarks.report.files import ReportFile, read_report_file
from benchmarks.report.page import Section
from benchmarks.report.peaks import Peaks
from benchmarks.report.sections import comparison_section, report_section
from semlink.machine import GpuState, MachineState
from semlink.report import Report, write_report
from tests.support.bench_reports import latency_report, stage

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
SCIPY_KINDS = ("accuracy", "study")


class WithBody(Report, frozen=True, kw_only=True):
    kind: Literal["with body"] = "with body"
    growth_mb: float
    resident_mb: dict[int, float]
    rows: list[dict[str, str | float | list[int]]]
    many: list[dict[str, int]]


def section_of(report: Report, tmp_path: Path, peaks: Peaks | None = None) -> Section:
    write_report(report, tmp_path / "report.json")
    return report_section(read_report_file(tmp_path / "report.json"), peaks)


class TestReport:
    def test_the_whole_comes_first(self, tmp_path: Path) -> None:
        section = section_of(latency_report(), tmp_path)
        assert section.title == "report.json, 2026-11-21"
        assert section.verdict == "image in memory to codes: p50 2.000 ms, p99 2.100 ms."
        (table,) = section.tables
        assert [row[0] for row in table.rows] == ["image in memory to codes", "preprocess"]

    def test_the_slowest_stage_where_none_is_the_whole(self, tmp_path: Path) -> None:
        report = latency_report(stages=[stage(1.0, 1.1, name="fast"), stage(3.0, 3.1, name="slow")])
        assert section_of(report, tmp_path).verdict.startswith("Slowest stage: slow: p50 3.000 ms")

    def test_a_stage_that_never_ran(self, tmp_path: Path) -> None:
        section = section_of(latency_report(stages=[stage(None, None, 0)]), tmp_path)
        assert section.verdict == ""
        assert section.tables[0].rows == (("search", "0"),)

    def test_empty_columns_are_left_out(self, tmp_path: Path) -> None:
        (table,) = section_of(latency_report(), tmp_path).tables
        assert table.headers == ("stage", "samples", "p50 ms", "p95 ms", "p99 ms")
        noted = stage(1.0, 1.1, notes={"clock": "CUDA events", "graph": True}, memory_mb={"peak resident": 95.4})
        (table,) = section_of(latency_report(stages=[noted]), tmp_path).tables
        assert table.rows[0][-1] == "clock: CUDA events, graph: yes, peak resident: 95 MB"

    def test_shares_of_the_floor(self, tmp_path: Path) -> None:
        stages = [stage(8.192, 9.0, bytes_moved=100_000 * 512 * 4), stage(1.0, 1.1, name="decode")]
        section = section_of(latency_report(stages=stages), tmp_path, Peaks(bytes_per_s=50e9))
        assert section.tables[0].rows[0][-2:] == ("4.096", "50 %")
        assert section.tables[0].rows[1][-2:] == ("", "")
        assert "at 50 GB/s" in section.remarks[0]

    def test_facts_say_how_it_was_made(self, tmp_path: Path) -> None:
        gpu = GpuState("Orin", "540.4.0", sm_mhz=1020.0, power_limit_w=60.0)
        state = MachineState("performance", 1510.4, "MAXN", "RAM 1/2MB", (gpu,))
        report = latency_report(machine_state=state, commit="ab" * 20 + "+dirty", note="a remark")
        assert dict(section_of(report, tmp_path).facts) == {
            "note": "a remark",
            "command": "make bench",
            "made at": "2026-11-21T14:00:00+00:00",
            "commit": "ababababab, with changes",
            "device": "a board, 8 cores",
            "clocks and power": "governor performance; first core at 1510 MHz; power mode MAXN;"
            " Orin driver 540.4.0 SM 1020 MHz at most 60 W; tegrastats: RAM 1/2MB",
            "precision": "fp32",
            "threads": "2",
            "versions": "python 3.10.12, semlink 0.1.0",
        }

    def test_what_is_unknown_is_left_out(self, tmp_path: Path) -> None:
        facts = dict(section_of(latency_report(commit=None, settings={"limit": None}), tmp_path).facts)
        assert facts.keys() == {"command", "made at", "device", "versions"}

    def test_commands_have_no_absolute_paths(self, tmp_path: Path) -> None:
        command = "semlink evaluate --data /home/someone/photos --out=/tmp/x/out.json --rate 1/48 and/or"
        facts = dict(section_of(latency_report(command=command), tmp_path).facts)
        assert facts["command"] == "semlink evaluate --data photos --out=out.json --rate 1/48 and/or"

    def test_fields_of_any_kind(self, tmp_path: Path) -> None:
        header = msgspec.structs.asdict(latency_report(stages=[]))
        del header["kind"]
        report = WithBody(
            **header,
            growth_mb=0.75,
            resident_mb={2000: 230.13, 4000: 230.17},
            rows=[{"name": "fp32", "cosine": 1.0, "hidden": [1]}, {"name": "int8", "cosine": 0.96861}],
            many=[{"number": index} for index in range(100)],
        )
        section = section_of(report, tmp_path)
        assert section.figures == (("growth [MB]", "0.75"),)
        assert section.chart is None
        by_frames, rows, many = section.tables
        assert by_frames.rows == (("2000", "230.1"), ("4000", "230.2"))
        assert (rows.headers, rows.rows) == (("name", "cosine"), (("fp32", "1"), ("int8", "0.9686")))
        assert (len(many.rows), many.rows[-1]) == (61, ("40 more in the file",))

    @pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
    def test_every_committed_report(self, path: Path) -> None:
        if path.name.startswith(SCIPY_KINDS):
            pytest.importorskip("scipy", reason="needs semlink[train]")
        file: ReportFile = read_report_file(path)
        section = report_section(file)
        assert section.tables
        assert dict(section.facts)["commit" if file.report.commit else "note"]


class TestComparison:
    def test_the_verdict_comes_first(self) -> None:
        names = [f"stage {number}" for number in range(8)]
        older = latency_report(stages=[stage(1.0, 1.01, name=name) for name in names])
        p50s = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5, 1.0]
        newer = latency_report(stages=[stage(p, p * 1.01, name=name) for p, name in zip(p50s, names, strict=True)])
        section = comparison_section(compare(newer, older), newer, older)
        assert section.verdict == (
            "Slower: stage 5 by 500 %, stage 4 by 400 %, stage 3 by 300 %, stage 2 by 200 % and 1 more."
            " Faster: stage 6 by 50 %. No change beyond noise: 2 of 8 stages."
        )
        assert section.tables[0].rows[0] == ("stage 1", "1.000", "2.000", "+100 %", "slower")
        assert section.tables[0].rows[-1] == ("stage 7", "1.000", "1.000", "+0 %", "no change beyond noise")

    def test_the_verdict_names_stages_that_were_not_judged(self) -> None:
        older, newer = (
            latency_report(
                stages=[stage(1.0, 1.01), *(stage(1.0, 1.01, num_samples=2, name=name) for name in ("cold", "colder"))]
            )
            for _ in range(2)
        )
        section = comparison_section(compare(newer, older), newer, older)
        assert section.verdict == "No change beyond noise: 1 of 3 stages; 2 have too few samples."

    def test_no_verdict_where_the_measurements_differ(self) -> None:
        older, newer = latency_report(device="another board"), latency_report()
        section = comparison_section(compare(newer, older), newer, older)
        assert section.verdict.startswith("No verdict, since the two were not measured alike: device: another board")
        assert section.tables[0].headers == ("stage", "p50 before, ms", "p50 now, ms", "change")

    def test_remarks(self) -> None:
        older = latency_report(
            versions={"python": "3.10.12", "semlink": "0.0.9"}, settings={"precision": "fp16"}, stages=[stage(1.0, 1.1)]
        )
        newer = latency_report(machine_state=MachineState(), stages=[stage(1.0, 1.1), stage(1.0, 1.1, name="new")])
        remarks = comparison_section(compare(newer, older, least_change=0.02), newer, older).remarks
        assert "by more than 2 %" in remarks[0]
        assert remarks[1:] == (
            "semlink 0.0.9 before, 0.1.0 now.",
            "Settings differ: precision: fp16 before, fp32 now; threads: not recorded before, 2 now.",
            "Clocks and power mode are recorded in one of the two only, and so not compared.",
            "Only now: new.",
        )
