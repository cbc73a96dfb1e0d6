"""`semlink` as a process: errors in one line, and exit codes."""

from __future__ import annotations

import pytest

from semlink.cli.app import EXIT_BROKEN_PIPE
from semlink.errors import SemlinkError
from tests.support.processes import Run, RunningProcess

pytestmark = pytest.mark.process


class TestErrors:
    @pytest.mark.parametrize(
        ("kind", "exit_code", "message"),
        [
            ("config", 2, "error: count must be at least 1, got 0 [bold]\n"),
            ("transport", 7, "error: nobody there\n"),
            # The brackets of an extra are no markup.
            (
                "missing",
                3,
                "error: training needs torch; in semlink's folder run: pip install -c constraints.txt '.[train]'\n",
            ),
        ],
    )
    def test_family_is_one_line_and_an_exit_code(self, run: Run, kind: str, exit_code: int, message: str) -> None:
        result = run("fails", "--kind", kind)
        assert (result.returncode, result.stdout, result.stderr) == (exit_code, "", message)

    def test_long_message_stays_on_one_line(self, run: Run) -> None:
        path = "x" * 500
        result = run("channel", "--connect", path)
        assert result.returncode == 2
        assert len(result.stderr.splitlines()) == 1
        assert path in result.stderr

    def test_bug_keeps_its_traceback(self, run: Run) -> None:
        result = run("fails", "--kind", "bug")
        assert result.returncode == 1
        assert "Traceback" in result.stderr
        assert "ZeroDivisionError: a bug" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nope"], "no such command 'nope' (semlink --help)"),
            (["fials"], "no such command 'fials'; did you mean 'fails'? (semlink --help)"),
            (["group", "onne"], "no such command 'onne'. Did you mean 'one'? (semlink group --help)"),
            (["--nope"], "no such option: --nope (semlink --help)"),
            (["fails", "--cuont"], "no such option: --cuont; did you mean '--count'? (semlink fails --help)"),
            (["fails", "--COUNT", "2"], "no such option: --COUNT; did you mean '--count'? (semlink fails --help)"),
            (["fails", "--mop"], "no such option: --mop (semlink fails --help)"),
            (["fails", "extra"], "got unexpected extra argument(s) (extra) (semlink fails --help)"),
            (["fails", "--count"], "option '--count' requires an argument"),
            (["needs"], "missing option '--rate' (semlink needs --help)"),
            (["--log-format", "xml", "fails"], "'xml' is not one of 'text', 'json' (semlink --help)"),
        ],
    )
    def test_usage_error_is_one_line_and_two(self, run: Run, arguments: list[str], message: str) -> None:
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("error: ")
        assert result.stderr.endswith(f"{message}\n")
        assert result.stderr.count("\n") == 1

    def test_value_of_another_type_names_the_option(self, run: Run) -> None:
        result = run("fails", "--count", "many")
        assert (result.returncode, result.stderr.count("\n")) == (2, 1)
        assert result.stderr.startswith("error: invalid value for '--count': ")

    def test_group_without_a_command_shows_its_help(self, run: Run) -> None:
        result = run("group")
        assert result.returncode == 2
        assert "Usage: semlink group" in result.stdout + result.stderr
        assert "error" not in result.stderr

    def test_exit_code_of_a_command_is_kept(self, run: Run) -> None:
        assert run("fails", "--kind", "exit").returncode == 9

    def test_every_error_of_the_family_has_an_exit_code_of_its_own_kind(self) -> None:
        classes = [each for each in SemlinkError.__subclasses__() if each.__module__ == SemlinkError.__module__]
        assert len(classes) >= 10
        assert all(1 < error.exit_code < 64 for error in classes)

    def test_reader_that_goes_away(self, environment: dict[str, str]) -> None:
        piped = 'set -o pipefail; "$@" | head -n 1 > /dev/null'
        with RunningProcess(
            "-m", "semlink", "--help", prefix=("bash", "-c", piped, "bash"), environment=environment
        ) as process:
            assert process.finish().stderr == ""

    def test_broken_pipe_has_the_shells_exit_code(self, run: Run) -> None:
        result = run("fails", "--kind", "broken-pipe")
        assert (result.returncode, result.stderr) == (EXIT_BROKEN_PIPE, "")
