"""`make results`: evaluations that fail, and names that are unknown."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")

from benchmarks import accuracy
from benchmarks.cli import run_command


@pytest.mark.parametrize(("returncode", "exit_code"), [(4, 4), (-9, 1)])
def test_a_failed_evaluation_is_one_line_and_its_exit_code(
    returncode: int, exit_code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("subprocess.run", lambda command, **_: SimpleNamespace(returncode=returncode))
    with pytest.raises(SystemExit) as stopped:
        run_command(accuracy.main, "benchmarks.accuracy", ["digits"])
    assert stopped.value.code == exit_code
    assert capsys.readouterr().err.strip().splitlines() == [
        f"error: the evaluation digits ended with exit code {returncode}; the next start continues it"
    ]


def test_an_unknown_evaluation_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_command(accuracy.main, "benchmarks.accuracy", ["no-such"])
    assert "no evaluation no-such" in capsys.readouterr().err
