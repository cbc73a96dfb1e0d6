"""What a mistyped name may stand for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ask for names that resemble a mistyped one, the most similar first; "" if none does.

    The hyphens before an option are compared no more than upper case, and `_` is as good as `-`.

    Examples
    --------
    >>> did_you_mean("snr_db", ["rate", "snr-db"])
    "did you mean 'snr-db'?"
    >>> did_you_mean("--snr", ["--answer", "--json"])
    ''
    """
    by_plain = {_plain(each): each for each in known}
    close = difflib.get_close_matches(_plain(name), by_plain)
    return f"did you mean {' or '.join(repr(by_plain[plain]) for plain in close)}?" if close else ""


def _plain(name: str) -> str:
    return name.lstrip("-").replace("_", "-").lower()
