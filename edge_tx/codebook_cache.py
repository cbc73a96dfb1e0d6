"""Codebooks that were fetched, kept on the device so that a restart fetches none."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from pathlib import Path

from semlink.cache import cache_folder
from semlink.codebook_chunks import MAX_CODEBOOK_BYTES
from semlink.errors import ConfigError
from semlink.files import replaced_file

__all__ = ["MAX_KEPT", "CodebookCache"]

_log = logging.getLogger(__name__)

MAX_KEPT = 8
"""Number of codebooks that are kept; those that were used least recently go first."""


class CodebookCache:
    """Files of codebooks by their SHA-256 in hex; a device without a folder for them fetches at each start."""

    def __init__(self) -> None:
        self._is_warned = False

    def find(self, sha256: str) -> bytes | None:
        """Read a codebook; None if the file is missing or damaged."""
        path = self._path(sha256)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                content = file.read(MAX_CODEBOOK_BYTES + 1)
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            _log.warning("%s is damaged, and the codebook is fetched again", path)
            return None
        with contextlib.suppress(OSError):
            path.touch()  # so that it is not the oldest
        return content

    def keep(self, sha256: str, content: bytes) -> None:
        """Write a codebook and remove the oldest beyond `MAX_KEPT`; a failure is logged."""
        path = self._path(sha256)
        if path is None:
            return
        try:
            with replaced_file(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            _log.warning("%s cannot be kept, and is fetched again after a restart: %s", path, error.strerror)
            return
        try:
            by_age = sorted(path.parent.glob("*.npz"), key=lambda kept: kept.stat().st_mtime_ns)
            for oldest in by_age[:-MAX_KEPT]:
                oldest.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("%s: old codebooks cannot be removed: %s", path.parent, error)

    def _path(self, sha256: str) -> Path | None:
        try:
            return cache_folder("codebooks") / f"{sha256}.npz"
        except ConfigError as error:
            if not self._is_warned:
                _log.warning("codebooks are fetched at each start: %s", error)
            self._is_warned = True
            return None
