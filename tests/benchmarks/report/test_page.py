"""Benchmark reports of every kind on one page, and comparisons that say no more than the noise allows."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report import page as bench_report
from benchmarks.report.compare import MIN_SAMPLES, compare, judge, older_of
from benchmarks.report.files import BenchFile, read_bench_file
from benchmarks.report.kinds import Stage
from benchmarks.report.page import Peaks, build_page
from benchmarks.report.render import as_html, as_markdown, write_page
from semlink.errors import ConfigError, MissingDependencyError, ResultsError
from tests.support.deadlines import DEADLINE_S

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
NO_DIFFERENCE = "no difference beyond the noise"
needs_jinja2 = pytest.mark.skipif(importlib.util.find_spec("jinja2") is None, reason="jinja2 is not installed here")

Content = dict[str, Any]
Write = Callable[..., Path]


def summary(p50: float | None = 2.0, p95: float | None = 2.1, num_samples: int = 200) -> Content:
    return {"num_samples": num_samples, "mean": p50, "p50": p50, "p95": p95, "p99": p95, "p999": p95}


def engine_bench(**changes: object) -> Content:
    return {
        "date": "2026-11-21T14:00:00+00:00",
        "device": "a board, 8 cores",
        "versions": {"python": "3.10.12", "semlink": "0.1.0"},
        "engine": "onnxruntime, CPU, 2 thread(s)",
        "model_set": "builtin",
        "codec": "nested",
        "precision": "fp32",
        "picture_px": [1280, 720],
        "latency_ms": {"preprocess": summary(1.0, 1.05), "image in memory to codes": summary()},
        **changes,
    }


def stage_bench(*rows: Content, **changes: object) -> Content:
    versions = {"python": "3.10.12", "semlink": "0.1.0"}
    return {"command": "make bench", "device": "a board", "versions": versions, "benchmarks": [*rows], **changes}


def side_by_side() -> Content:
    return {
        "device": "a board",
        "num_threads": 2,
        "picture_px": [1280, 720],
        "latency_ms": {"torch eager": summary(10.0, 11.0), "semlink": summary(5.0, 6.0)},
        "ratio_to_torch_eager": {"torch eager": 1.0, "semlink": 0.5},
    }


def demo() -> Content:
    cell = {"codec": "nested", "rate": "1/48", "snr_db": -7.0, "latency_ms": summary(8.0, 9.0)}
    cells = [{**cell, "stage_latency_ms": {"tx encode": summary(4.0, 5.0)}}, {**cell, "snr_db": 10.0}]
    return {
        "device": "a board",
        "encoder": "builtin",
        "dataset": "digits",
        "codec": "nested",
        "rate": "1/48",
        "channel": "awgn",
        "precision": "fp32",
        "encoder_threads": 2,
        "semantic_accuracy": {"-7": 0.3},
        "latency_ms": summary(7.0, 8.0),
        "datasets": [{"dataset": "digits", "cells": cells}],
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(content: object, name: str = "bench.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return write_file


def stage(p50: float | None, p95: float | None, num_samples: int = 100) -> Stage:
    return Stage(name="search", num_samples=num_samples, p50=p50, p95=p95, p99=p95, p999=p95)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "semlink", "bench-report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


class TestReading:
    def test_engine_bench(self, write: Write) -> None:
        state = {"cpu_governor": "performance", "power_mode": "MAXN", "gpus": [{"name": "Orin", "sm_mhz": 1020.0}]}
        file = read_bench_file(write(engine_bench(machine_state=state)))
        assert (file.kind, file.settings["precision"], file.settings["picture"]) == ("engine", "fp32", "1280 x 720")
        assert [(s.name, s.p50, s.is_end_to_end) for s in file.stages] == [
            ("preprocess", 1.0, False),
            ("image in memory to codes", 2.0, True),
        ]
        assert file.machine is not None
        assert file.machine.gpus[0].sm_mhz == 1020.0

    def test_stages_of_make_bench(self, write: Write) -> None:
        search = {
            "name": "search[5000]",
            "num_rounds": 30,
            "p50_ms": 0.14,
            "p95_ms": 0.2,
            "p99_ms": 0.3,
            "p999_ms": 0.4,
        }
        whole = {
            "name": "end_to_end_two_processes",
            "num_rounds": 1,
            "p50_ms": 36_000.0,  # of the whole stream; what counts is each frame's
            "latency_ms": summary(12.0, 16.0, 1000),
            "tx_stage_latency_ms": {"encode": summary(10.0, 14.0)},
            "tx_peak_resident_mb": 176.4,
        }
        content = stage_bench({**search, "bytes_moved": 10_240_000, "runs on": "one thread"}, whole, precision="fp32")
        of_run = {"backend": "onnxruntime on cpu", "encoder_threads": 2, "commit": {"id": "ab" * 20, "dirty": True}}
        file = read_bench_file(write({**content, **of_run}))
        found, end_to_end, encode = file.stages
        assert (found.name, found.num_samples, found.p999) == ("search[5000]", 30, 0.4)
        assert (found.bytes_moved, found.notes) == (10_240_000, {"runs on": "one thread"})
        assert (end_to_end.p50, end_to_end.num_samples, end_to_end.is_end_to_end) == (12.0, 1000, True)
        assert end_to_end.memory_mb == {"tx_peak_resident_mb": 176.4}
        assert encode.name == "end to end two processes: tx encode"
        assert file.settings == {"precision": "fp32", "backend": "onnxruntime on cpu", "encoder threads": "2"}
        assert file.commit == "ababababab and changes"

    def test_side_by_side_and_demo(self, write: Write) -> None:
        file = read_bench_file(write(side_by_side()))
        assert (file.kind, [s.notes["of torch eager's p50"] for s in file.stages]) == ("side by side", [1.0, 0.5])
        file = read_bench_file(write(demo()))
        assert file.kind == "demo"
        assert [s.name for s in file.stages] == [
            "image to match: digits nested 1/48, every SNR",
            "image to match: digits nested 1/48 -7 dB",
            "image to match: digits nested 1/48 10 dB",
            "tx encode (first run)",
        ]

    def test_what_the_benchmarks_write_is_read(self) -> None:
        """Without clocks and power mode, as older files are."""
        for name in ("latency.json", "demo.json"):
            file = read_bench_file(RESULTS / name)
            assert len(file.stages) > 10
            assert all(s.num_samples > 0 and s.p50 and s.p50 > 0 for s in file.stages)

    def test_a_stage_that_never_ran_has_no_percentiles(self, write: Write) -> None:
        file = read_bench_file(write(engine_bench(latency_ms={"engine": summary(None, None, 0)})))
        assert file.stages[0].p50 is None
        assert "| engine | 0 | - | - | - | - |" in as_markdown(build_page([file]))

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "not JSON, or cut short"),
            (b'{"benchmarks": [{"na', "not JSON, or cut short"),
            (b"\xff\xfe\x00", "not JSON, or cut short"),
            (b"[" * 100_000, "not JSON, or cut short"),
            (b"[1, 2]", "would be a JSON object"),
            (b"{}", "the kinds known are those of make bench"),
            (json.dumps({**engine_bench(), "latency_ms": 3}).encode(), "damaged report of semlink engine bench"),
            (json.dumps(stage_bench({"num_rounds": 3})).encode(), "damaged report of make bench"),
            (json.dumps(stage_bench(machine_state={"gpus": 1})).encode(), "damaged report of make bench"),
        ],
    )
    def test_what_is_no_report_is_refused_in_one_line(self, tmp_path: Path, content: bytes, words: str) -> None:
        path = tmp_path / "foreign.json"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=words) as refused:
            read_bench_file(path)
        assert str(refused.value).startswith(str(path))
        assert "\n" not in str(refused.value)

    def test_another_kind_of_result_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"semlink engine bench --json.*semlink demo"):
            read_bench_file(RESULTS / "accuracy-digits.json")

    def test_every_cut_of_a_report_is_refused(self, tmp_path: Path) -> None:
        whole = json.dumps(engine_bench()).encode()
        for length in range(0, len(whole), 7):
            (tmp_path / "cut.json").write_bytes(whole[:length])
            with pytest.raises(ConfigError, match="cut short"):
                read_bench_file(tmp_path / "cut.json")

    @given(
        key=st.sampled_from(
            sorted([*engine_bench(), "machine_state", "benchmarks", "ratio_to_torch_eager", "datasets"])
        ),
        value=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=5,
        ),
    )
    def test_any_value_is_read_or_refused(
        self, tmp_path_factory: pytest.TempPathFactory, key: str, value: object
    ) -> None:
        path = tmp_path_factory.mktemp("any") / "bench.json"
        path.write_text(json.dumps({**engine_bench(), key: value}))
        try:
            file = read_bench_file(path)
        except ConfigError:
            return
        page = build_page([file], [compare(file, file)], peaks=Peaks(bytes_per_s=1e9))
        assert as_markdown(page).startswith("# Latency\n")

    def test_files_that_are_not_there_or_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ConfigError, match="No such file"):
            read_bench_file(tmp_path / "none.json")
        with pytest.raises(ConfigError, match="Is a directory"):
            read_bench_file(tmp_path)
        (tmp_path / "large.json").write_bytes(b" " * 101)
        monkeypatch.setattr("benchmarks.report.files._MAX_BYTES", 100)
        with pytest.raises(ConfigError, match="which no benchmark report has"):
            read_bench_file(tmp_path / "large.json")


class TestVerdict:
    @given(st.floats(1e-4, 1e4), st.floats(0, 1e3), st.integers(MIN_SAMPLES, 10**6))
    def test_the_same_run_has_no_difference(self, p50: float, spread: float, num_samples: int) -> None:
        same = stage(p50, p50 + spread, num_samples)
        assert judge(same, same) == NO_DIFFERENCE
        assert judge(same, same, least_change=0.0) == NO_DIFFERENCE

    @given(st.floats(1e-4, 1e4), st.floats(1.2, 100), st.floats(0, 0.01))
    def test_a_change_without_noise_is_said_both_ways(self, p50: float, ratio: float, spread: float) -> None:
        older, newer = stage(p50, p50 * (1 + spread)), stage(p50 * ratio, p50 * ratio * (1 + spread))
        assert judge(newer, older) == f"slower by {100 * (ratio - 1):.0f} %" or ratio > 10
        assert judge(newer, older).startswith("slower by ")
        assert judge(older, newer).startswith("faster by ")

    @given(st.floats(1e-4, 1e4), st.floats(1.0, 100))
    def test_a_change_within_the_noise_is_none(self, p50: float, ratio: float) -> None:
        older, newer = stage(p50, p50 * ratio), stage(p50 * ratio, p50 * ratio * 1.01)
        assert judge(newer, older) == NO_DIFFERENCE
        assert judge(older, newer) == NO_DIFFERENCE

    def test_doubled(self) -> None:
        assert judge(stage(2.0, 2.02), stage(1.0, 1.01)) == "slower by 100 %"
        assert judge(stage(1.0, 1.01), stage(2.0, 2.02)) == "faster by 50 %"

    def test_a_small_change_counts_only_where_it_is_asked_for(self) -> None:
        older, newer = stage(1.0, 1.01), stage(1.08, 1.09)
        assert judge(newer, older) == NO_DIFFERENCE
        assert judge(newer, older, least_change=0.02) == "slower by 8 %"

    def test_no_verdict_of_too_few_samples_or_none(self) -> None:
        assert judge(stage(2.0, 2.0, MIN_SAMPLES - 1), stage(1.0, 1.0)) == "no verdict: fewer than 20 samples"
        assert judge(stage(None, None, 0), stage(1.0, 1.0)) == "no verdict: not timed in both"
        assert judge(stage(1.0, 1.0), stage(0.0, 0.0)) == "no verdict: not timed in both"


class TestComparison:
    def of(self, write: Write, newer: Content, older: Content) -> tuple[BenchFile, BenchFile]:
        return read_bench_file(write(newer, "newer.json")), read_bench_file(write(older, "older.json"))

    def test_identical_files(self, write: Write) -> None:
        result = compare(*self.of(write, engine_bench(), engine_bench()))
        assert (result.obstacles, result.differing_settings) == ((), ())
        assert {change.verdict for change in result.changes} == {NO_DIFFERENCE}

    def test_stages_are_matched_by_name(self, write: Write) -> None:
        older = engine_bench(latency_ms={"engine": summary(1.0, 1.01), "gone": summary()})
        newer = engine_bench(latency_ms={"new": summary(), "engine": summary(2.0, 2.01)})
        result = compare(*self.of(write, newer, older))
        assert [(c.name, c.older_p50, c.newer_p50, c.verdict) for c in result.changes] == [
            ("engine", 1.0, 2.0, "slower by 100 %")
        ]
        assert (result.only_older, result.only_newer) == (("gone",), ("new",))
        text = as_markdown(build_page([], [result]))
        assert "| engine | 1.000 | 2.000 | +100 % | slower by 100 % |" in text
        assert "Only before: gone." in text
        assert "Only now: new." in text

    @pytest.mark.parametrize(
        ("older", "newer", "words"),
        [
            ({"device": "another board"}, {}, "device: another board before, a board, 8 cores now"),
            ({"versions": {"python": "3.10.9", "semlink": "0.1.0"}}, {}, "python: 3.10.9 before, 3.10.12 now"),
            ({"machine_state": {"power_mode": "15W"}}, {"machine_state": {"power_mode": "MAXN"}}, "power mode: 15W"),
            ({"machine_state": {"cpu_governor": "powersave"}}, {"machine_state": {}}, "powersave before, not said now"),
            (
                {"machine_state": {"gpus": [{"name": "X", "power_limit_w": 300.0}]}},
                {"machine_state": {"gpus": [{"name": "X", "power_limit_w": 700.0}]}},
                "power limit of GPU 0, W: 300.0 before, 700.0 now",
            ),
        ],
    )
    def test_no_verdict_of_what_was_not_measured_alike(
        self, write: Write, older: Content, newer: Content, words: str
    ) -> None:
        slow = {"engine": summary(9.0, 9.1)}
        result = compare(
            *self.of(write, engine_bench(latency_ms=slow, **newer), engine_bench(latency_ms=slow, **older))
        )
        assert [change.verdict for change in result.changes] == [""]
        text = as_markdown(build_page([], [result]))
        assert "No verdict, since" in text
        assert words in text
        assert "| engine | 9.000 | 9.000 | +0 % |" in text
        assert "slower" not in text

    def test_clocks_come_and_go_and_old_files_have_none(self, write: Write) -> None:
        newer = engine_bench(machine_state={"cpu_mhz": 3000.0, "gpus": [{"name": "X", "sm_mhz": 1980.0}]})
        older = engine_bench(machine_state={"cpu_mhz": 1500.0, "gpus": [{"name": "X", "sm_mhz": 345.0}]})
        assert compare(*self.of(write, newer, older)).obstacles == ()
        result = compare(*self.of(write, newer, engine_bench()))
        assert result.obstacles == ()
        assert "recorded in one of the two only" in as_markdown(build_page([], [result]))

    def test_semlink_itself_may_be_another(self, write: Write) -> None:
        older = engine_bench(versions={"python": "3.10.12", "semlink": "0.0.9"})
        result = compare(*self.of(write, engine_bench(), older))
        assert result.obstacles == ()
        assert "semlink 0.0.9 before, 0.1.0 now." in as_markdown(build_page([], [result]))

    def test_another_precision_is_said_and_compared(self, write: Write) -> None:
        newer = engine_bench(precision="int8", latency_ms={"engine": summary(1.0, 1.01)})
        result = compare(*self.of(write, newer, engine_bench(latency_ms={"engine": summary(2.0, 2.01)})))
        assert result.changes[0].verdict == "faster by 50 %"
        assert "Settings differ: precision: fp32 before, int8 now." in as_markdown(build_page([], [result]))

    def test_which_older_report_is_taken(self, write: Write) -> None:
        newer = read_bench_file(write(engine_bench(precision="int8"), "newer.json"))
        fp32 = read_bench_file(write(engine_bench(), "fp32.json"))
        fp16 = read_bench_file(write(engine_bench(precision="fp16"), "fp16.json"))
        early = read_bench_file(write(engine_bench(precision="int8", date="2026-01-01"), "early.json"))
        late = read_bench_file(write(engine_bench(precision="int8", date="2026-02-01"), "late.json"))
        other = read_bench_file(write(side_by_side(), "other.json"))
        assert older_of(newer, [fp32, late, early, other]) is late
        assert older_of(newer, [fp32, other]) is fp32
        assert older_of(newer, [fp32, fp16]) is None
        assert older_of(newer, [other]) is None

    @pytest.mark.parametrize("least_change", [-0.1, float("nan"), float("inf")])
    def test_least_change_must_be_a_share(self, write: Write, least_change: float) -> None:
        with pytest.raises(ConfigError, match="least change must be 0 or more"):
            compare(*self.of(write, engine_bench(), engine_bench()), least_change=least_change)


class TestFloor:
    @given(st.floats(1, 1e12), st.floats(1, 1e15), st.floats(1e6, 1e13), st.floats(1e6, 1e16))
    def test_is_the_longer_of_the_two(self, num_bytes: float, operations: float, bandwidth: float, peak: float) -> None:
        counted = Stage(
            name="x", num_samples=1, p50=1, p95=1, p99=1, p999=1, bytes_moved=num_bytes, operations=operations
        )
        floor = Peaks(bandwidth, peak).floor_ms(counted)
        assert floor == max(1e3 * num_bytes / bandwidth, 1e3 * operations / peak)
        assert Peaks(bandwidth).floor_ms(counted) == 1e3 * num_bytes / bandwidth
        assert Peaks().floor_ms(counted) is None
        assert Peaks(bandwidth, peak).floor_ms(stage(1.0, 1.0)) is None

    def test_share_of_an_exact_search(self, write: Write) -> None:
        row = {"name": "search[100000]", "num_rounds": 155, "p50_ms": 8.192, "bytes_moved": 100_000 * 512 * 4}
        file = read_bench_file(write(stage_bench(row, {"name": "decode", "num_rounds": 30, "p50_ms": 1.0})))
        text = as_markdown(build_page([file], peaks=Peaks(bytes_per_s=50e9)))
        assert "| 8.192 | - | - | - | 4.096 | 50 % |" in text
        assert "| decode | 30 | 1.000 | - | - | - | - | - |" in text
        assert "at 50 GB/s" in text
        assert "Above 100 %: search" in as_markdown(build_page([file], peaks=Peaks(bytes_per_s=10e9)))
        assert "floor" not in as_markdown(build_page([file]))
        assert "no stage here says" in as_markdown(build_page([file], peaks=Peaks(operations_per_s=1e12)))

    @pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
    def test_a_peak_is_positive(self, value: float) -> None:
        with pytest.raises(ConfigError, match="--peak-gb-s must be finite and more than 0"):
            Peaks(bytes_per_s=value)
        with pytest.raises(ConfigError, match="--peak-tflop-s"):
            Peaks(operations_per_s=value)


class TestPage:
    def test_says_what_was_measured_where(self, write: Write) -> None:
        state = {"cpu_governor": "performance", "cpu_mhz": 1510.4, "power_mode": "MAXN", "tegrastats": "RAM 1/2MB"}
        gpu = {"name": "Orin", "driver": "540.4.0", "sm_mhz": 1020.0, "power_limit_w": 60.0}
        text = as_markdown(build_page([read_bench_file(write(engine_bench(machine_state={**state, "gpus": [gpu]})))]))
        for words in (
            "- device: a board, 8 cores",
            "- precision: fp32",
            "- versions: python 3.10.12, semlink 0.1.0",
            "- clocks and power: governor performance; first core at 1510 MHz; power mode MAXN;"
            " Orin driver 540.4.0 SM 1020 MHz at most 60 W; tegrastats: RAM 1/2MB",
            "| stage | samples | p50 ms | p95 ms | p99 ms | p99.9 ms |",
        ):
            assert words in text
        assert text.index("| image in memory to codes | 200") < text.index("| preprocess | 200")

    def test_names_cannot_break_markdown(self, write: Write) -> None:
        name = "a|b <script> [x](http://y)\n| c _d_ e_f"
        text = as_markdown(build_page([read_bench_file(write(engine_bench(latency_ms={name: summary()})))]))
        row = next(line for line in text.splitlines() if "script" in line)
        assert row.startswith(r"| a\|b \<script\> [x\](http://y) \| c \_d\_ e_f | 200 |")

    @needs_jinja2
    def test_names_are_escaped_in_html(self, write: Write) -> None:
        name = '<script>alert("1")</script>'
        content = engine_bench(device=name, latency_ms={name: summary()}, versions={name: name}, codec=name)
        file = read_bench_file(write(content))
        html = as_html(build_page([file], [compare(file, file)], uncompared=[file]))
        assert "<script" not in html
        assert html.count("&lt;script&gt;") >= 6
        assert "http" not in html

    @needs_jinja2
    def test_both_formats_hold_the_same_cells(self) -> None:
        page = build_page([read_bench_file(RESULTS / "latency.json")])
        markdown, html = as_markdown(page), as_html(page)
        table = page.sections[0].table
        assert table is not None
        for row in table.rows:
            assert f"| {' | '.join(row)} |" in markdown
            assert all(f">{cell}</td>" in html for cell in row)

    def test_html_without_jinja2(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "jinja2", None)
        with pytest.raises(MissingDependencyError, match=r"HTML needs jinja2.*\.\[demo\]"):
            write_page(build_page([]), tmp_path / "report.html")
        write_page(build_page([]), tmp_path / "new" / "report.md")
        assert (tmp_path / "new" / "report.md").read_text().startswith("# Latency")

    def test_what_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ResultsError, match=r"report\.md"):
            write_page(build_page([]), tmp_path / "file" / "report.md")
        with pytest.raises(ConfigError, match=r"must end in \.md or \.html"):
            write_page(build_page([]), tmp_path / "report.pdf")

    def test_template_is_packed(self) -> None:
        assert (Path(bench_report.__file__).parent / "page.html.j2").is_file()
        assert '"report/*.j2"' in (Path(__file__).parents[3] / "setup.py").read_text()


class TestCommand:
    def test_prints_markdown(self, write: Write) -> None:
        newer, older = write(engine_bench(), "newer.json"), write(engine_bench(), "older.json")
        done = run(newer, write(side_by_side(), "other.json"), "--against", older)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("# Latency\n")
        assert f"## {newer} against {older}" in done.stdout
        assert "## Not compared" in done.stdout

    def test_writes_a_file(self, write: Write, tmp_path: Path) -> None:
        out = tmp_path / "report.md"
        done = run(write(engine_bench()), "--out", out, "--peak-gb-s", "50")
        assert (done.returncode, done.stdout) == (0, f"wrote {out}\n")
        assert "image in memory to codes" in out.read_text()

    @pytest.mark.parametrize(
        "arguments", [["cut.json"], ["bench.json", "--out", "x.pdf"], ["bench.json", "--peak-gb-s=0"]]
    )
    def test_faults_are_one_line(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
    ) -> None:
        write(engine_bench())
        (tmp_path / "cut.json").write_text('{"engine"')
        monkeypatch.chdir(tmp_path)
        done = run(*arguments)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
