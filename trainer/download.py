"""Fetch a file once, check what came, and go on where a broken download stopped."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from semlink.errors import SemlinkError
from trainer.progress import progress_task

__all__ = ["RemoteFile", "fetch", "verify"]

_BLOCK_BYTES = 1 << 18
_TIMEOUT_S = 30
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416


@dataclass(frozen=True)
class RemoteFile:
    """A file on the network and the digest that its bytes must have.

    Attributes
    ----------
    url : where it is
    algorithm, digest : for example "sha256" and the hash in hex
    error : the class raised when it cannot be had or is not what it should be
    """

    url: str
    algorithm: str
    digest: str
    error: type[SemlinkError]


def fetch(remote: RemoteFile, target: Path, *, progress: Progress | None) -> Path:
    """Download to `target` unless it is there, through `target` + ".part", which a later call resumes.

    Raises
    ------
    SemlinkError
        `remote.error`: the server cannot be reached, the connection broke, the disk is full, or
        the digest is wrong, in which case nothing is kept.
    """
    if target.is_file():
        return target
    part = target.with_name(target.name + ".part")
    try:
        _receive(remote.url, part, progress)
    except (OSError, http.client.HTTPException) as error:
        kept = f"; run again to go on after {part.stat().st_size} bytes" if part.exists() else ""
        raise remote.error(
            f"{remote.url} cannot be downloaded: {error}{kept}, or fetch it by other means and save it as {target}"
        ) from None
    try:
        verify(part, remote)
    except SemlinkError:
        part.unlink()
        raise
    return part.replace(target)


def verify(path: Path, remote: RemoteFile) -> None:
    """Refuse a file whose digest is not the one pinned.

    Raises
    ------
    SemlinkError
        `remote.error`, with both digests and where the right file is.
    """
    # MD5 is what CIFAR's authors publish; it guards against damage here, not against malice.
    digest = hashlib.new(remote.algorithm, usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise remote.error(f"{path}: {error.strerror}; get it from {remote.url}") from None
    if digest.hexdigest() != remote.digest:
        raise remote.error(
            f"{path}: {remote.algorithm} is {digest.hexdigest()}, expected {remote.digest}; "
            f"the file is truncated or another one: get it again from {remote.url}"
        )


def _receive(url: str, part: Path, progress: Progress | None) -> None:
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310 (callers' constants)
    except urllib.error.HTTPError as error:
        with error:
            # The part is as long as the file already: only its digest can tell whether it is whole.
            if error.code == _RANGE_NOT_SATISFIABLE and done:
                return
            raise
    with response:
        resumed = response.status == _PARTIAL_CONTENT
        length = response.headers.get("Content-Length")
        done = done if resumed else 0
        total = int(length) + done if length else None
        with (
            progress_task(progress, f"downloading {Path(url).name}", total, completed=done) as advance,
            part.open("ab" if resumed else "wb") as file,
        ):
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
                advance(len(block))
                done += len(block)
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done} of {total} bytes")
