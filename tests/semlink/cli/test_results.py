"""A report goes to the file, to standard output, to both or to neither."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from semlink.cli.results import ReportOutput, command_line
from semlink.errors import ResultsError
from semlink.report import Report, provenance, read_report


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("to_file", [True, False])
def test_a_report_goes_where_the_options_say(
    to_file: bool, as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report(kind="latency", **provenance("semlink engine bench"))
    out = tmp_path / "folder" / "report.json"
    output = ReportOutput(as_json=as_json, out=out if to_file else None)
    assert output.is_wanted is (to_file or as_json)
    output.deliver(report)
    printed, announced = capsys.readouterr()
    assert bool(printed) is as_json
    assert out.exists() is to_file
    assert (f"wrote {out}" in announced) is to_file
    if as_json:
        assert msgspec.json.decode(printed, type=Report) == report
    if to_file:
        assert read_report(out, Report) == report


def test_a_file_that_cannot_be_written_is_refused_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"report\.json"):
        ReportOutput(out=tmp_path / "file" / "report.json").require_writable()
    ReportOutput().require_writable()


def test_the_command_line_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/semlink", "tx", "my photos"])
    assert command_line() == "semlink tx 'my photos'"
