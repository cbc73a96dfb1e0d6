"""Notices that the folder of an opened knowledge base holds another version of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from edge_rx.kb.manifest import MANIFEST_FILE, Manifest, read_manifest
from semlink.errors import KnowledgeBaseError

__all__ = ["KnowledgeBaseWatch"]

_log = logging.getLogger(__name__)

_INTERVAL_S = 5.0
"""Time between two looks at the manifest [s]."""


class KnowledgeBaseWatch:
    """Warns once of each version that takes the place of the one that is open.

    Parameters
    ----------
    folder : of the knowledge base
    manifest : of the version that is open
    now_s : clock [s]
    """

    def __init__(self, folder: Path, manifest: Manifest, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._manifest, self._now_s = folder, manifest, now_s
        self._seen: tuple[int, ...] | None = None
        self._next_s = now_s()

    def check(self) -> None:
        """Look at the manifest, if the interval has passed; it is read only if its inode, time or size has changed."""
        now_s = self._now_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _INTERVAL_S
        seen = self._state()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            found = read_manifest(self._folder)
        except KnowledgeBaseError as error:
            _log.warning("the knowledge base that is served is no longer in its folder: %s", error)
            return
        if _files(found) != _files(self._manifest):
            _log.warning(
                "%s: holds another version of the knowledge base (%s) than this receiver serves (%s); restart rx to"
                " serve it",
                self._folder,
                _identity(found),
                _identity(self._manifest),
            )

    def _state(self) -> tuple[int, ...]:
        """What changes whenever the manifest is written or its folder replaced; empty without a manifest."""
        try:
            stat = (self._folder / MANIFEST_FILE).stat()
        except OSError:
            return ()
        return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size


def _files(manifest: Manifest) -> tuple[str, ...]:
    """Hashes of all files that a receiver serves from."""
    projected = (entry.sha256 for entry in manifest.projected)
    codebooks = (entry.sha256 for entry in manifest.codebooks)
    return manifest.index_sha256, manifest.records_sha256, *projected, *codebooks


def _identity(manifest: Manifest) -> str:
    codebooks = f", codebook {manifest.codebooks[0].sha256[:12]}" if manifest.codebooks else ""
    return f"{manifest.fingerprint.hex()[:12]} of {manifest.created}{codebooks}"
