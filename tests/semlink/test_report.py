"""One header for every report: written whole, read strictly, with the commit that was measured."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semlink.errors import ConfigError, ResultsError
from semlink.machine import GpuState, MachineState
from semlink.report import (
    Report,
    Stage,
    checkout_commit,
    provenance,
    read_report,
    require_writable,
    write_report,
)
from semlink.timing import summarize_latency

ROOT = Path(__file__).parents[2]


class CountReport(Report, frozen=True, kw_only=True):
    kind: Literal["count"] = "count"
    counted: int


LATENCY = Report(
    kind="latency",
    command="make bench",
    made_at="2026-11-21T14:00:00+00:00",
    device="a board, 8 cores",
    versions={"python": "3.10.12"},
    machine_state=MachineState(power_mode="MAXN", gpus=(GpuState("Orin", sm_mhz=1020.0),)),
    commit="ab" * 20,
    settings={"precision": "fp32", "threads": 2, "rates": [16, 64], "limit": None},
    stages=[
        Stage.of("decode", summarize_latency([1.0, 2.0, 3.0]), notes={"clock": "CUDA events"}),
        Stage(name="picture to match", num_samples=5, p50_ms=8.0, max_ms=9.0, is_end_to_end=True),
    ],
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "latency.json"
    write_report(LATENCY, path)
    assert read_report(path, Report) == LATENCY
    assert path.read_text().startswith('{\n  "kind": "latency",\n  "command": "make bench",\n  "made_at"')
    assert list(path.parent.iterdir()) == [path]


def test_a_kind_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "count.json"
    write_report(CountReport(**provenance("count"), counted=3), path)
    assert read_report(path, CountReport).counted == 3
    header = read_report(path, Report)
    assert (header.kind, header.stages) == ("count", [])
    write_report(LATENCY, path)
    with pytest.raises(ConfigError, match="another kind"):
        read_report(path, CountReport)


def test_a_stage_that_never_ran_has_no_percentiles(tmp_path: Path) -> None:
    stage = Stage.of("decode", summarize_latency([]))
    assert (stage.num_samples, stage.mean_ms, stage.p50_ms) == (0, None, None)
    write_report(Report(kind="latency", **provenance("make bench"), stages=[stage]), tmp_path / "report.json")
    assert read_report(tmp_path / "report.json", Report).stages == [stage]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON, or cut short"),
        (b'{"kind": "laten', "not JSON, or cut short"),
        (b"\xff\xfe\x00", "not JSON, or cut short"),
        (b"[" * 100_000, "not a report"),
        (b"[1, 2]", "not a report"),
        (b"{}", "not a report"),
        (b'{"date": "2026-11-21", "device": "a board", "versions": {}}', "not a report"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "foreign.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as refused:
        read_report(path, Report)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_every_cut_of_a_report_is_refused(tmp_path: Path) -> None:
    write_report(LATENCY, tmp_path / "whole.json")
    whole = (tmp_path / "whole.json").read_bytes().rstrip()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.json").write_bytes(whole[:length])
        with pytest.raises(ConfigError, match="cut short"):
            read_report(tmp_path / "cut.json", Report)


@given(
    key=st.sampled_from(sorted(Report.__struct_fields__)),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=5,
    ),
)
def test_any_value_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, key: str, value: object) -> None:
    path = tmp_path_factory.mktemp("any") / "report.json"
    write_report(LATENCY, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    try:
        report = read_report(path, Report)
    except ConfigError:
        return
    write_report(report, path)
    assert read_report(path, Report) == report


def test_files_that_are_absent_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_report(tmp_path / "none.json", Report)
    with pytest.raises(ConfigError, match="Is a directory"):
        read_report(tmp_path, Report)
    (tmp_path / "large.json").write_bytes(b" " * (16 * 2**20 + 1))
    with pytest.raises(ConfigError, match="over 16 MiB"):
        read_report(tmp_path / "large.json", Report)


def test_where_no_report_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match=r"report\.json"):
        write_report(LATENCY, tmp_path / "file" / "report.json")
    with pytest.raises(ResultsError, match=r"report\.json"):
        require_writable(tmp_path / "file" / "report.json")
    require_writable(tmp_path / "new" / "report.json")
    assert list((tmp_path / "new").iterdir()) == []


class TestCommit:
    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        root = tmp_path / "checkout"
        for name in ("semlink/code.py", "docs/results.md", "benchmarks/results/latency.json"):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text("as committed\n")
        try:
            self.git(root, "init", "--quiet")
        except FileNotFoundError:
            pytest.skip("git is not installed")
        self.git(root, "add", ".")
        self.git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "all")
        return root

    def git(self, root: Path, *arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def test_of_a_clean_and_of_a_changed_tree(self, checkout: Path) -> None:
        commit = self.git(checkout, "rev-parse", "HEAD")
        assert checkout_commit(checkout) == commit
        (checkout / "semlink" / "code.py").write_text("changed\n")
        assert checkout_commit(checkout) == f"{commit}+dirty"

    def test_written_reports_and_their_page_are_no_change(self, checkout: Path) -> None:
        for name in ("docs/results.md", "benchmarks/results/latency.json", "new-file"):
            (checkout / name).write_text("changed\n")
        assert checkout_commit(checkout) == self.git(checkout, "rev-parse", "HEAD")

    def test_outside_of_a_checkout_there_is_none(self, checkout: Path, tmp_path: Path) -> None:
        assert checkout_commit(tmp_path) is None
        # A copy of semlink inside another project's checkout, such as its virtual environment.
        assert checkout_commit(checkout / "semlink") is None

    def test_without_git_there_is_none(self, checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert checkout_commit(checkout) is None
