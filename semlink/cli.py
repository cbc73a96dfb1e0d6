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
from rich.console import Console
from rich.logging import RichHandler

from semlink import __version__
from semlink.errors import ConfigError, SemlinkError

__all__ = ["ENTRY_POINT_GROUP", "main"]

ENTRY_POINT_GROUP = "semlink.commands"
"""Entry points of this group are commands: the name is the command, the object a `typer.Typer`."""

EXIT_INTERRUPTED = 130


class FrontDoor(typer.core.TyperGroup):
    """Finds subcommands among the entry points of installed packages."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of every installed command, sorted."""
        return sorted({entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command; None, which typer reports, if no package has it."""
        for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=cmd_name):
            command = typer.main.get_command(entry.load())
            command.name = cmd_name
            return command
        return None


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
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        app(standalone_mode=True)
    except SemlinkError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our standard output went away; the interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ConfigError.exit_code)


def _fail(message: str, exit_code: int) -> None:
    one_line = " ".join(message.split())
    Console(stderr=True).print(f"[red]error:[/red] {one_line}", soft_wrap=True, highlight=False)
    sys.exit(exit_code)
