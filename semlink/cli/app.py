"""Entry point: one `semlink` command; errors end in one line on stderr and an exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from semlink import __version__
from semlink.cli.commands import CommandGroup, LogFormatOption, Quiet, Verbose
from semlink.cli.logs import is_json
from semlink.errors import SemlinkError
from semlink.suggestions import did_you_mean

__all__ = ["EXIT_BROKEN_PIPE", "EXIT_INTERRUPTED", "app", "main"]

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""
EXIT_BROKEN_PIPE = 141
"""128 + SIGPIPE."""

_log = logging.getLogger(__name__)

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Semantic image transmission: send the meaning of a picture in a few dozen radio symbols.",
    epilog="Start with: semlink demo. What this machine can run: semlink doctor. Completion of commands and options "
    "by the Tab key: semlink --install-completion.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"semlink {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    verbose: Verbose = 0,
    quiet: Quiet = False,
    log_format: LogFormatOption = None,
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass  # `CommandGroup` reads the values


def main() -> None:
    """Run the command line; errors of the family, and of its usage, become one line and an exit code."""
    # A service manager stops a process with SIGTERM, which ends it as cleanly as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = app(prog_name="semlink", standalone_mode=False)
    except SemlinkError as error:
        _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        _fail_usage(error)
    except typer.Abort:
        _fail("aborted", 1)
    except KeyboardInterrupt:
        _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our standard output went away; the interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)
    # The code of a typer.Exit comes back as the result.
    sys.exit(result if isinstance(result, int) else 0)


def _interrupt(*_: object) -> None:
    # Raised here instead of through SIGINT, which shells make background jobs ignore.
    raise KeyboardInterrupt


def _fail_usage(error: typer.TyperException) -> None:
    if type(error).__name__ == "NoArgsIsHelpError":  # of typer's private part; the help is printed already
        sys.exit(error.exit_code)
    context = getattr(error, "ctx", None)
    question = _suggested_options(error, context)
    message = error.format_message().rstrip(".").replace("Value error, ", "")  # pydantic's words, which name nothing
    message += f"; {question}" if question else ""
    hint = f" ({context.command_path} --help)" if context is not None else ""
    _fail(message[:1].lower() + message[1:] + hint, error.exit_code)


def _suggested_options(error: Any, context: Any) -> str:
    """Options that an unknown one may stand for; typer's own suggestions compare the hyphens too, and are dropped."""
    name = getattr(error, "option_name", None)
    if context is None or name is None or not hasattr(error, "possibilities"):
        return ""
    error.possibilities = None
    known = (option for param in context.command.params for option in (*param.opts, *param.secondary_opts))
    return did_you_mean(name, (option for option in known if option.startswith("--")))


def _fail(message: str, exit_code: int) -> None:
    one_line = " ".join(message.split())
    if is_json():
        _log.error("%s", one_line, extra={"fields": {"exit_code": exit_code}})
    else:
        # Text, since markup would take the brackets of pip's ".[train]" for a colour.
        Console(stderr=True).print(Text.assemble(("error: ", "red"), one_line), soft_wrap=True)
    sys.exit(exit_code)
