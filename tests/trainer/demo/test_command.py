"""`semlink demo`: what it prints, its errors in one line, and Ctrl-C."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="needs semlink[demo]")
pytest.importorskip("skimage", reason="needs semlink[demo]")

from typer.testing import CliRunner

from semlink.errors import MissingDependencyError
from tests.support.processes import run_semlink, start_semlink
from trainer.demo.command import app
from trainer.demo.config import DEFAULT_LIMIT

pytestmark = pytest.mark.process


def test_the_report_is_printed_as_json_or_as_tables(picture_folder: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(picture_folder), "--snr-db=10", "--codec", "nested", "--out", str(tmp_path / "report")]
    as_json, as_tables = (CliRunner().invoke(app, [*arguments, *more]) for more in (["--json"], []))
    assert as_json.exit_code == as_tables.exit_code == 0, as_json.output + as_tables.output
    report = json.loads(as_json.stdout)
    assert report["settings"]["limit"] == DEFAULT_LIMIT
    assert [cell["codec"] for cell in report["datasets"][0]["cells"]] == ["nested"]
    assert "accuracy" in as_tables.stdout
    assert "Image in memory to match in memory" in as_tables.stdout
    assert f"wrote {tmp_path}/report/report.json and" in as_tables.stderr


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--rate", "1/7"), "rate", 2),
        (("--snr-db", "loud"), "numbers", 2),
        (("--channel", "ether"), 'channel "ether" is unknown', 2),
        (("--codec", ""), "--codec names nothing", 2),
        (("--model-set", "nowhere"), "model set", 5),
        (("--data", "nowhere"), "nowhere", 2),
        (("--rate", "16", "--codec", "kbsc"), "has no rate", 5),
    ],
)
def test_errors_have_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str, code: int) -> None:
    done = run_semlink("demo", "--out", tmp_path / "report", *arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("module", ["jinja2", "matplotlib.figure"])
def test_a_missing_package_is_named_before_any_work(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("trainer.demo.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    result = CliRunner().invoke(app, ["--out", str(tmp_path / "report")])
    assert isinstance(result.exception, MissingDependencyError)
    assert f"semlink demo needs {module}; " in str(result.exception)
    assert not (tmp_path / "report").exists()


def test_ctrl_c_ends_the_demo_and_leaves_nothing(tmp_path: Path) -> None:
    demo = ("demo", "--limit", 50, "--out", tmp_path / "report")
    with start_semlink(*demo, environment={"TMPDIR": str(tmp_path)}, own_session=True) as process:
        process.read_message("building a KB")
        assert process.interrupt().returncode == 130
    assert list(tmp_path.glob("semlink-demo-*")) == []
