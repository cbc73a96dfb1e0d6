"""Names that commands and options once had: they keep working, hidden, with a warning of one line.

The one table of them. Commands declare today's names only; arguments are rewritten before they are parsed, and the
keys of configuration files as they are read. A name that its command declares is never rewritten. Options whose value
has another meaning today are not rewritten but refused, and the error names what to give instead.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple, TypeAlias

from semlink.errors import ConfigError

__all__ = [
    "RENAMED_COMMANDS",
    "RENAMED_OPTIONS",
    "REPLACED_OPTIONS",
    "RenamedCommand",
    "current_arguments",
    "current_key",
]

_log = logging.getLogger(__name__)

CommandPath: TypeAlias = tuple[str, ...]
"""Names of a command and of the groups that it is in, without `semlink`."""
DeclaredOptions: TypeAlias = Callable[[CommandPath], Collection[str] | None]
"""Options of the command at a path; None if there is no such command."""


class RenamedCommand(NamedTuple):
    """A command as it was and as it is; with `option`, only where it is given, and its value is the last argument."""

    was: CommandPath
    now: CommandPath
    option: str | None = None


RENAMED_COMMANDS: Sequence[RenamedCommand] = (
    RenamedCommand(("bench-report",), ("bench", "compare"), option="--against"),
    RenamedCommand(("bench-report",), ("bench", "show")),
    RenamedCommand(("kb", "export-keys"), ("kb", "export-entries")),
    RenamedCommand(("kb", "rekey"), ("kb", "project")),
)
"""The first that fits counts."""

_THREADS = {"--num-threads": "--threads"}
_LIMIT = {"--count": "--limit"}

RENAMED_OPTIONS: Mapping[CommandPath, Mapping[str, str]] = {
    ("demo",): _LIMIT,
    ("engine", "bench"): {**_THREADS, "--json": "--out"},
    ("engine", "verify"): {**_THREADS, **_LIMIT},
    ("evaluate",): {
        **_LIMIT,
        "--json": "--out",
        "--num-symbols": "--rate",
        "--runs": "--runs-dir",
        "--seeds": "--num-seeds",
    },
    ("kb", "build"): _THREADS,
    ("kb", "project"): _THREADS,
    ("kb", "search"): _THREADS,
    ("rx",): {**_THREADS, **_LIMIT, "--batch": "--batch-size", "--search-device": "--device"},
    ("train", "codec"): {"--num-symbols": "--rate", "--runs": "--runs-dir"},
    ("train", "encoder", "report-head"): {"--json": "--out", "--seeds": "--num-seeds"},
    ("tx",): {**_THREADS, **_LIMIT, "--keys": "--entries"},
}
"""By a command's path of today, its options as they were and as they are."""

REPLACED_OPTIONS: Mapping[CommandPath, Mapping[str, str]] = {
    ("rx",): {"--min-score": "--min-confidence, the probability that an answer is right, 0 to 1, for every codec"},
}
"""By a command's path, options that it no longer has, and what to give instead, whose values differ."""

_JSON = "--json"
"""Once took a file in some commands; it is a flag everywhere now, so that only its use with a value is rewritten."""


def current_arguments(arguments: Sequence[str], declared: DeclaredOptions) -> list[str]:
    """Rewrite the words of a command line, without the program and its own options, to today's names.

    Examples
    --------
    >>> current_arguments(["kb", "rekey", "KB"], {("kb", "project"): ["--threads"]}.get)
    ['kb', 'project', 'KB']

    Raises
    ------
    ConfigError
        If an option was replaced by one of another meaning.
    """
    words = list(arguments)
    for was, now, option in RENAMED_COMMANDS:
        if (
            _begins(words, was)
            and (option is None or any(_name(word) == option for word in words))
            and declared(was) is None
            and declared(now) is not None
        ):
            _log.warning('"semlink %s" is now "semlink %s"', " ".join(was), " ".join(now))
            words = [*now, *(words[len(was) :] if option is None else _as_argument(option, words[len(was) :]))]
            break
    for path, options in REPLACED_OPTIONS.items():
        current = declared(path) if _begins(words, path) else None
        for name in map(_name, takewhile(lambda word: word != "--", words)):
            if current is not None and name in options and name not in current:
                raise ConfigError(f"{name} is no option any more; give {options[name]}")
    for path, options in RENAMED_OPTIONS.items():
        if _begins(words, path) and any(_name(word) in options for word in words):
            return [*path, *_current_options(words[len(path) :], options, declared(path) or ())]
    return words


def _as_argument(option: str, words: Sequence[str]) -> list[str]:
    others: list[str] = []
    values: list[str] = []
    following = iter(words)
    for word in following:
        if _name(word) == option:
            values.append(word.partition("=")[2] if "=" in word else next(following, ""))
        else:
            others.append(word)
    return [*others, *filter(None, values)]


def _current_options(words: Sequence[str], options: Mapping[str, str], declared: Collection[str]) -> list[str]:
    current: list[str] = []
    for number, word in enumerate(words):
        if word == "--":
            return [*current, *words[number:]]
        was = _name(word)
        following = words[number + 1] if number + 1 < len(words) else "-"
        is_flag = was == _JSON and was == word and following.startswith("-")
        if was in options and not is_flag and options[was] in declared and (was == _JSON or was not in declared):
            _log.warning("%s is now %s", was, options[was])
            word = options[was] + word.removeprefix(was)
        current.append(word)
    return current


def current_key(command: Sequence[str], key: str, value: object, declared: Collection[str]) -> str:
    """Name of today for a key of a configuration file, which is an option's name without its hyphens.

    Parameters
    ----------
    command : path of the command that reads the file
    value : of the key
    declared : the keys that the command takes

    Raises
    ------
    ConfigError
        If the option was replaced by one of another meaning.
    """
    was = f"--{key}"
    replaced = REPLACED_OPTIONS.get(tuple(command), {})
    if was in replaced and key not in declared:
        raise ConfigError(f'the key "{key}" is no option any more; give {replaced[was].removeprefix("--")}')
    now = RENAMED_OPTIONS.get(tuple(command), {}).get(was, was).removeprefix("--")
    is_current = key in declared and not (was == _JSON and isinstance(value, str))
    if now == key or is_current or now not in declared:
        return key
    _log.warning('the key "%s" is now "%s"', key, now)
    return now


def _begins(words: Sequence[str], path: CommandPath) -> bool:
    return tuple(words[: len(path)]) == path


def _name(word: str) -> str:
    """Name of an option in a word such as `--snr-db=5`."""
    return word.partition("=")[0]
