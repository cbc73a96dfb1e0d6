"""A report goes to the file, to standard output, to both or to neither."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from semlink.cli.results import command_line, deliver_report
from semlink.report import Report, provenance, read_report


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("to_file", [True, False])
def test_a_report_goes_where_the_options_say(
    to_file: bool, as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report(kind="latency", **provenance("semlink engine bench"))
    out = tmp_path / "folder" / "report.json"
    deliver_report(report, out if to_file else None, as_json=as_json)
    printed = capsys.readouterr().out
    assert bool(printed) is as_json
    assert out.exists() is to_file
    if as_json:
        assert msgspec.json.decode(printed, type=Report) == report
    if to_file:
        assert read_report(out, Report) == report


def test_the_command_line_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/semlink", "tx", "my photos"])
    assert command_line() == "semlink tx 'my photos'"
