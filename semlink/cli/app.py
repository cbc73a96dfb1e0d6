"""The front door: one `semlink` command; each installed package adds its own through entry points.

A command is loaded when it is asked for, so that `semlink tx` on a Jetson imports nothing of the
receiver's, and a package that is not installed has no command.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import signal
import sys
from typing import Any

import typer
import typer.core
import typer.main
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from semlink import __version__
from semlink.errors import MissingDependencyError, SemlinkError

__all__ = ["ENTRY_POINT_GROUP", "EXIT_INTERRUPTED", "main"]

ENTRY_POINT_GROUP = "semlink.commands"
"""Entry points of this group are commands: the name is the command, the object a `typer.Typer`."""

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""
EXIT_BROKEN_PIPE = 141
"""128 + SIGPIPE."""


class FrontDoor(typer.core.TyperGroup):
    """Finds subcommands among the entry points of installed packages."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of every installed command, sorted."""
        return sorted({entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command; None, which typer reports, if no package has it."""
        for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=cmd_name):
            try:
                command_app = entry.load()
            except ImportError as error:
                command_app = _unavailable(cmd_name, error)
            command = typer.main.get_command(command_app)
            command.name = cmd_name
            # Completion is installed once, by the front door.
            command.params = [p for p in command.params if p.name not in ("install_completion", "show_completion")]
            return command
        return None


def _unavailable(name: str, error: ImportError) -> typer.Typer:
    """Stand in for a command that cannot be imported here, so that the others keep their help."""
    stand_in = typer.Typer(add_completion=False)

    @stand_in.command(
        help=f"Not available here: {error}.",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def unavailable() -> None:
        raise MissingDependencyError(
            f'"semlink {name}" cannot run here: {error}; "semlink doctor" says what to install'
        )

    return stand_in


app = typer.Typer(
    cls=FrontDoor,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Semantic image transmission: say what a camera sees in a few dozen radio symbols.",
    epilog="Start with: semlink demo. What this machine can run: semlink doctor.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"semlink {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log what is chosen and done to stderr."),
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    handler = RichHandler(console=Console(stderr=True), show_path=False, show_time=False)
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s", handlers=[handler])


def main() -> None:
    """Run the command line; errors of the family become one line and an exit code."""
    # A service manager stops a process with SIGTERM; it deserves the same clean end as Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(prog_name="semlink", standalone_mode=True)
    except SemlinkError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our standard output went away; the interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)


def _interrupt(*_: object) -> None:
    # Raised here instead of through SIGINT, which a shell's background jobs are told to ignore.
    raise KeyboardInterrupt


def _fail(message: str, exit_code: int) -> None:
    one_line = " ".join(message.split())
    # Text, since markup would take the brackets of pip's ".[train]" for a colour.
    Console(stderr=True).print(Text.assemble(("error: ", "red"), one_line), soft_wrap=True)
    sys.exit(exit_code)
