"""Names that commands and options once had: they keep working, hidden, with a warning of one line.

The one table of them. Commands declare today's names only; arguments are rewritten before they are parsed, and the
keys of configuration files as they are read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

__all__ = ["RENAMED_COMMANDS", "RENAMED_OPTIONS", "current_arguments", "current_key"]

_log = logging.getLogger(__name__)

RENAMED_COMMANDS: Mapping[tuple[str, ...], tuple[str, ...]] = {}
"""Path of a command as it was, to its path."""

RENAMED_OPTIONS: Mapping[tuple[str, ...], Mapping[str, str]] = {}
"""Path of a command, to its options as they were and as they are."""

_JSON_FILE = "--json"
"""Once took a file in some commands; it is a flag everywhere now, so that only its use with a value is renamed."""


def current_arguments(arguments: Sequence[str]) -> list[str]:
    """Rewrite the words of a command line, without the program and its own options, to today's names.

    Examples
    --------
    >>> current_arguments(["channel", "--seed", "3"])
    ['channel', '--seed', '3']
    """
    words = list(arguments)
    for was, now in RENAMED_COMMANDS.items():
        if tuple(words[: len(was)]) == was:
            _log.warning('"semlink %s" is now "semlink %s"', " ".join(was), " ".join(now))
            words = [*now, *words[len(was) :]]
            break
    for path, options in RENAMED_OPTIONS.items():
        if tuple(words[: len(path)]) == path:
            return [*path, *_current_options(words[len(path) :], options)]
    return words


def _current_options(words: Sequence[str], options: Mapping[str, str]) -> list[str]:
    current: list[str] = []
    for number, word in enumerate(words):
        if word == "--":
            return [*current, *words[number:]]
        name, equals, value = word.partition("=")
        following = words[number + 1] if number + 1 < len(words) else "-"
        is_flag = name == _JSON_FILE and not equals and following.startswith("-")
        if name in options and not is_flag:
            _log.warning("%s is now %s", name, options[name])
            name = options[name]
        current.append(f"{name}{equals}{value}")
    return current


def current_key(command: Sequence[str], key: str, value: object) -> str:
    """Name of today for a key of a configuration file, which is an option's name without its hyphens.

    Parameters
    ----------
    command : path of the command that reads the file
    value : of the key
    """
    was = f"--{key}"
    now = RENAMED_OPTIONS.get(tuple(command), {}).get(was, was)
    if now == was or (was == _JSON_FILE and isinstance(value, bool)):
        return key
    _log.warning('the key "%s" is now "%s"', key, now.removeprefix("--"))
    return now.removeprefix("--")
