"""Configuration files: TOML whose keys are a command's option names, one `--config` for all commands."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from semlink.cli.renamed import current_key
from semlink.errors import ConfigError
from semlink.suggestions import did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["ConfigFile", "parse_numbers", "split_list"]


def _apply(ctx: typer.Context, path: Path | None) -> Path | None:
    """Make the file's values the command's defaults; options on the command line still win."""
    if path is None:
        return None
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    by_option = {
        option.removeprefix("--"): parameter
        for parameter in ctx.command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--") and parameter.name not in ("config", "help")
    }
    defaults: dict[str, Any] = dict(ctx.default_map or {})
    command = [word for word in ctx.command_path.split() if word != "semlink"]
    for written, value in values.items():
        key = current_key(command, written, value, by_option)
        if key != written and key in values:
            raise ConfigError(f'{path}: "{written}" is the former name of "{key}", which the file has too')
        if key not in by_option:
            hint = did_you_mean(key, by_option) or f"it takes: {', '.join(sorted(by_option))}"
            raise ConfigError(f'{path}: "{key}" is not an option of "{ctx.info_name}"; {hint}')
        parameter = by_option[key]
        defaults[str(parameter.name)] = _default_of(parameter, key, value, path)
    ctx.default_map = defaults
    return path


def _default_of(parameter: Any, key: str, value: Any, path: Path) -> Any:
    """Read a TOML value as the command line would read the option."""
    if isinstance(value, bool) != bool(getattr(parameter, "is_flag", False)):
        wanted = "true or false" if not isinstance(value, bool) else "a value, not true or false"
        raise ConfigError(f'{path}: "{key}" takes {wanted}, got {value!r}')
    if isinstance(value, bool):
        return value != (f"--{key}" in parameter.secondary_opts)
    if isinstance(value, dict):
        raise ConfigError(f'{path}: "{key}" is a table; keys are option names on the top level')
    if isinstance(value, list) and not parameter.multiple and parameter.nargs == 1:
        return ",".join(map(str, value))
    return value


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        is_eager=True,
        callback=_apply,
        help="TOML file whose keys are option names; options on the command line take precedence.",
    ),
]


def split_list(text: str, option: str) -> tuple[str, ...]:
    """Read a comma-separated option; ConfigError if it names nothing."""
    values = tuple(part.strip() for part in text.split(",") if part.strip())
    if not values:
        raise ConfigError(f"{option} names nothing; give values separated by commas")
    return values


def parse_numbers(text: str, option: str) -> tuple[float, ...]:
    """Read a comma-separated option of finite numbers; ConfigError if one is none.

    Examples
    --------
    >>> parse_numbers("-7,0,10", "--snr-db")
    (-7.0, 0.0, 10.0)
    """
    try:
        numbers = tuple(float(value) for value in split_list(text, option))
    except ValueError:
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise ConfigError(f'{option} takes numbers separated by commas, got "{text}"')
    return numbers
