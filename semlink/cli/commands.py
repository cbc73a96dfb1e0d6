"""Finds the subcommands of `semlink` among the entry points of installed packages.

A command is loaded when it is asked for, so that `semlink tx` on a Jetson imports nothing of the receiver's, and a
package that is not installed has no command.
"""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from semlink.cli.logs import LogFormat, configure_logging
from semlink.cli.options import OUTPUT
from semlink.cli.renamed import current_arguments
from semlink.errors import MissingDependencyError
from semlink.packages import require_own_packages
from semlink.suggestions import did_you_mean

__all__ = ["ENTRY_POINT_GROUP", "CommandGroup", "LogFormatOption", "Quiet", "Verbose", "command_names"]

ENTRY_POINT_GROUP = "semlink.commands"
"""Entry points of this group are commands: the name is the command, the object a `typer.Typer`."""

Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="Log what semlink chooses and does; twice, also its details and what libraries say.",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Log errors only; no progress, no summary.", rich_help_panel=OUTPUT)
]
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option("--log-format", show_default=False, help="Lines of text, or JSON, on stderr.", rich_help_panel=OUTPUT),
]


def command_names() -> list[str]:
    """Names of every installed command, sorted."""
    return sorted({entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)})


class CommandGroup(typer.core.TyperGroup):
    """The subcommands of `semlink`, by entry points."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of every installed command, sorted."""
        return command_names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command; None, which typer reports, if no package has it."""
        for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=cmd_name):
            try:
                command_app = entry.load()
            except ImportError as error:
                command_app = _unavailable(cmd_name, error)
            command = typer.main.get_command(command_app)
            command.name = cmd_name
            # Completion is installed once, by `semlink` itself.
            command.params = [p for p in command.params if p.name not in ("install_completion", "show_completion")]
            _add_log_options(command)
            return command
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments name, by today's name or by one that it had."""
        # Here, before the arguments are parsed: what is said about them is logged already.
        _configure_logging(ctx.params)
        args = current_arguments(args, functools.partial(self._declared_options, ctx))
        if args[0] != "doctor":  # which reports it
            require_own_packages()
        try:
            return super().resolve_command(ctx, args)
        except typer.TyperException as error:
            if question := did_you_mean(args[0], command_names()):
                error.message = f"{error.message.rstrip('.')}; {question}"
            raise

    def _declared_options(self, ctx: Any, path: tuple[str, ...]) -> frozenset[str] | None:
        command = self.get_command(ctx, path[0])
        for name in path[1:]:
            command = getattr(command, "commands", {}).get(name)
        return None if command is None else frozenset(option for param in command.params for option in param.opts)


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


def _configure_logging(*params: dict[str, Any]) -> None:
    """Set up logging by the values of log options, taken from those of `semlink` and of its command."""
    formats = [values["log_format"] for values in params if values.get("log_format")]
    configure_logging(
        verbosity=sum(values["verbose"] for values in params),
        quiet=any(values["quiet"] for values in params),
        log_format=LogFormat(formats[-1]) if formats else LogFormat.TEXT,
    )


_options_source = typer.Typer(add_completion=False)


@_options_source.command()
def _log_options(verbose: Verbose = 0, quiet: Quiet = False, log_format: LogFormatOption = None) -> None:
    """Declare the options that every command takes after its name too."""


def _add_log_options(command: Any) -> None:
    """Let a command, or each command of a group, take the log options that `semlink` takes before its name."""
    for subcommand in getattr(command, "commands", {}).values():
        _add_log_options(subcommand)
    if isinstance(command, typer.core.TyperGroup):
        return
    options = typer.main.get_command(_options_source).params
    taken = {name for param in command.params for name in (param.name, *param.opts)}
    if any({param.name, *param.opts} & taken for param in options):
        return  # the command has its own
    names = [param.name for param in options]
    command.params = [*command.params, *options]
    run = command.invoke

    def invoke(ctx: Any) -> Any:
        _configure_logging(ctx.find_root().params, {name: ctx.params.pop(name) for name in names})
        return run(ctx)

    command.invoke = invoke
