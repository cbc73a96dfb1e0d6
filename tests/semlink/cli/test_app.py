"""The entry point as a process: commands found by entry points, errors in one line, exit codes."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from semlink import __version__
from semlink.cli.app import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED
from semlink.cli.commands import ENTRY_POINT_GROUP
from semlink.errors import MissingDependencyError, SemlinkError
from tests.support.processes import RunningProcess, run_python, run_semlink, start_semlink

pytestmark = pytest.mark.process

Run = Callable[..., "subprocess.CompletedProcess[str]"]

# A package beside semlink with commands of its own, as an extension would have them.
COMMANDS = '''
import logging, sys, time
import typer
from semlink.errors import ConfigError, TransportError, MissingDependencyError

fails = typer.Typer()
waits = typer.Typer()
group = typer.Typer(no_args_is_help=True)
needs = typer.Typer()

@fails.command()
def fail(kind: str = "config", count: int = 1) -> None:
    """Raise an error of the family."""
    if kind == "config":
        raise ConfigError("count must be\\n   at least 1, got 0 [bold]")
    if kind == "transport":
        raise TransportError("nobody there")
    if kind == "missing":
        raise MissingDependencyError.of("torch", extra="train", purpose="training")
    if kind == "broken-pipe":
        raise BrokenPipeError(0, "not EPIPE")
    if kind == "exit":
        raise typer.Exit(9)
    if kind == "bug":
        raise ZeroDivisionError("a bug")
    print("fine")

@waits.command()
def wait() -> None:
    """Wait for a signal."""
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)

@needs.command()
def need(rate: str = typer.Option()) -> None:
    """Has an option that must be given."""

@group.command()
def one() -> None:
    """The first."""
    logging.getLogger("engines").info("chose")
    logging.getLogger("foreign").info("chatter")
    logging.getLogger("semlink").warning("first\\nsecond [bold]")
    print("one")

@group.command()
def two() -> None:
    """The second."""
'''
ENTRY_POINTS = """
[semlink.commands]
fails = fake_commands:fails
waits = fake_commands:waits
group = fake_commands:group
needs = fake_commands:needs
absent = fake_commands_not_there:app
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables with which a distribution with the commands above is installed."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "fake_commands.py").write_text(COMMANDS)
    metadata = folder / "fake_commands-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-commands\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return {"PYTHONPATH": str(folder), "COLUMNS": "200", "TERM": "dumb"}


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    return functools.partial(run_semlink, environment=environment, cwd=tmp_path)


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
            (["fials"], "no such command 'fials'. Did you mean 'fails'? (semlink --help)"),
            (["group", "onne"], "no such command 'onne'. Did you mean 'one'? (semlink group --help)"),
            (["--nope"], "no such option: --nope (semlink --help)"),
            (["fails", "--cuont"], "no such option: --cuont (Possible options: --count) (semlink fails --help)"),
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
        classes = SemlinkError.__subclasses__()
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


class TestLogOptions:
    WARNING = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 WARNING first\\nsecond \[bold\]\n"

    @pytest.mark.parametrize(
        ("arguments", "lines"),
        [
            (["group", "one"], ["first"]),
            (["-v", "group", "one"], ["chose", "first"]),
            (["group", "one", "-v"], ["chose", "first"]),
            (["group", "one", "-vv"], ["chose", "chatter", "first"]),
            (["-v", "group", "one", "--verbose"], ["chose", "chatter", "first"]),
            (["-q", "group", "one"], []),
            (["group", "one", "--quiet"], []),
            (["-v", "group", "one", "-q"], []),
        ],
    )
    def test_before_and_after_the_command(self, run: Run, arguments: list[str], lines: list[str]) -> None:
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (0, "one\n")
        shown = result.stderr.splitlines()
        assert len(shown) == len(lines), shown
        assert all(expected in line for line, expected in zip(shown, lines, strict=True))

    def test_line_has_time_and_level(self, run: Run) -> None:
        assert re.fullmatch(self.WARNING, run("group", "one").stderr)

    @pytest.mark.parametrize(
        "arguments", [["--log-format", "json", "group", "one"], ["group", "one", "--log-format=json"]]
    )
    def test_json(self, run: Run, arguments: list[str]) -> None:
        event = json.loads(run(*arguments).stderr)
        assert event.pop("time")[:2] == "20"
        assert event == {"level": "WARNING", "logger": "semlink", "message": "first\nsecond [bold]"}

    def test_error_is_a_json_line_too(self, run: Run) -> None:
        result = run("fails", "--kind", "transport", "--log-format", "json")
        event = json.loads(result.stderr)
        assert (result.returncode, event["level"], event["message"]) == (7, "ERROR", "nobody there")
        assert event["fields"] == {"exit_code": 7}

    def test_usage_error_is_a_json_line_too(self, run: Run) -> None:
        event = json.loads(run("--log-format", "json", "fails", "--nope").stderr)
        assert event["message"].startswith("no such option: --nope")


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


class TestSignals:
    @pytest.mark.parametrize(
        ("stop", "ignore_sigint"),
        [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGTERM, True)],
        ids=["Ctrl-C", "SIGTERM", "SIGTERM of a background job"],
    )
    def test_end_is_clean(self, environment: dict[str, str], stop: signal.Signals, ignore_sigint: bool) -> None:
        # What a shell without job control does to "command &".
        prefix = ("bash", "-c", 'trap "" INT; exec "$@"', "bash") if ignore_sigint else ()
        with start_semlink("waits", environment=environment, prefix=prefix) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(stop)
            done = process.finish()
        assert (done.returncode, done.stdout, done.stderr) == (EXIT_INTERRUPTED, "cleaned up\n", "")
