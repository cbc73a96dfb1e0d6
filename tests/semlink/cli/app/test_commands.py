"""`semlink` as a process: commands found by entry points, their help, and completion."""

from __future__ import annotations

import importlib.metadata

import pytest

from semlink import __version__
from semlink.cli.commands import ENTRY_POINT_GROUP
from semlink.errors import MissingDependencyError
from tests.support.processes import Run, run_python, run_semlink

pytestmark = pytest.mark.process


class TestCommands:
    @pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
    def test_help_lists_every_installed_command(self, run: Run, arguments: list[str]) -> None:
        result = run(*arguments)
        assert result.returncode == 0, result.stderr
        for name, text in (
            ("fails", "Raise an error"),
            ("waits", "Wait for a signal"),
            ("channel", "noise and fading"),
        ):
            line = next(line for line in result.stdout.splitlines() if f" {name} " in line)
            assert text in line

    def test_summary_of_each_command_fits_on_a_line(self) -> None:
        entries = importlib.metadata.distribution("semlink").entry_points.select(group=ENTRY_POINT_GROUP)
        shown = run_semlink("--help", environment={"COLUMNS": "80"}).stdout
        rows = [line for line in shown.partition("Commands")[2].splitlines()[1:] if line.startswith("│")]
        assert [row.split()[1] for row in rows] == sorted(entry.name for entry in entries)

    def test_nothing_asked_shows_help(self, run: Run) -> None:
        result = run()
        assert result.returncode == 2
        assert "Usage: semlink" in result.stdout + result.stderr

    def test_version(self, run: Run) -> None:
        result = run("--version")
        assert (result.returncode, result.stdout) == (0, f"semlink {__version__}\n")

    def test_command_runs(self, run: Run) -> None:
        result = run("fails", "--kind", "none")
        assert (result.returncode, result.stdout, result.stderr) == (0, "fine\n", "")

    def test_command_has_help_and_no_completion_of_its_own(self, run: Run) -> None:
        result = run("fails", "--help")
        assert result.returncode == 0
        assert "Usage: semlink fails" in result.stdout
        assert "--count" in result.stdout
        assert "--install-completion" not in result.stdout

    def test_group_of_commands(self, run: Run) -> None:
        assert run("group", "one", "--quiet").stdout == "one\n"
        assert "The second." in run("group", "--help").stdout

    def test_command_is_not_imported_until_asked_for(self, environment: dict[str, str]) -> None:
        code = (
            "import sys; sys.argv = ['semlink', 'fails', '--kind', 'none']\n"
            "from semlink.cli.app import main\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "print(sorted({'edge_tx', 'edge_rx', 'trainer', 'onnxruntime', 'PIL'} & set(sys.modules)))"
        )
        assert run_python("-c", code, environment=environment).stdout == "fine\n[]\n"

    def test_command_that_cannot_be_imported(self, run: Run) -> None:
        assert "Not available here: No module named 'fake_commands_not_there'" in run("--help").stdout
        result = run("absent", "--some", "option", "argument")
        assert result.returncode == MissingDependencyError.exit_code
        assert result.stdout == ""
        assert result.stderr == (
            "error: \"semlink absent\" cannot run here: No module named 'fake_commands_not_there';"
            ' "semlink doctor" says what to install\n'
        )


class TestCompletion:
    def test_script(self, run: Run, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        # Else the shell is the one that started the tests, which may have no completion.
        monkeypatch.setitem(environment, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
        shown = run("--show-completion", "bash")
        assert shown.returncode == 0, shown.stderr
        assert "_SEMLINK_COMPLETE" in shown.stdout

    @pytest.mark.parametrize(
        ("typed", "expected"),
        [
            ("semlink fa", "fails"),
            ("semlink group t", "two"),
            ("semlink fails --ki", "--kind"),
            ("semlink fails --verb", "--verbose"),
        ],
    )
    def test_completes(self, environment: dict[str, str], run: Run, typed: str, expected: str) -> None:
        asked = {"_SEMLINK_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
        done = run_semlink(environment=environment | asked)
        assert done.stdout.split() == [expected]
