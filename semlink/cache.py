"""Where semlink keeps what it can fetch or compute again: downloads, features, training runs, engines."""

from __future__ import annotations

import os
from pathlib import Path

from semlink.errors import ConfigError

__all__ = ["cache_folder"]


def cache_folder(*parts: str) -> Path:
    """A folder of the cache, made if it is not there.

    The cache is `$SEMLINK_CACHE`, else `semlink` below `$XDG_CACHE_HOME`, else below `~/.cache`.
    Everything in it may be deleted at any time.

    Raises
    ------
    ConfigError
        If the folder cannot be made, or the user has no home folder.
    """
    folder = _root().joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: the cache cannot be made: {error.strerror}; set SEMLINK_CACHE to a folder that can be written"
        ) from None
    return folder


def _root() -> Path:
    if override := os.environ.get("SEMLINK_CACHE"):
        return Path(override)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "semlink"
    try:
        return Path.home() / ".cache" / "semlink"
    except RuntimeError:  # no $HOME, and no account of this user id, as in many containers
        raise ConfigError("no home folder for the cache; set SEMLINK_CACHE to a folder that can be written") from None
