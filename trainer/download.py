"""Download a file once, and check its hash."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from rich.progress import Progress, TaskID

from semlink.errors import SemlinkError, packages_of

__all__ = ["RemoteFile", "fetch", "verify"]

_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class RemoteFile:
    """A file on the network and the hash of its bytes.

    Attributes
    ----------
    url : address of the file
    algorithm, digest : name of the hash function, such as "sha256", and the hash in hex
    error : class raised when the file cannot be downloaded or its hash differs
    """

    url: str
    algorithm: str
    digest: str
    error: type[SemlinkError]


def fetch(remote: RemoteFile, target: Path, *, progress: Progress | None = None) -> Path:
    """Download to `target`, unless it is there with the right hash; it appears whole or not at all.

    Raises
    ------
    SemlinkError
        `remote.error`: the server cannot be reached, the connection broke, the disk is full, or the hash differs.
    MissingDependencyError
        If pooch is not installed.
    """
    pooch = _import_pooch()
    bar = None if progress is None else _Bar(progress, f"downloading {target.name}")
    try:
        pooch.retrieve(
            remote.url,
            known_hash=f"{remote.algorithm}:{remote.digest}",
            fname=target.name,
            path=target.parent,
            downloader=pooch.HTTPDownloader(progressbar=bar or False, chunk_size=_CHUNK_BYTES),
        )
    except OSError as error:  # of the disk, or of requests, whose errors are OSErrors too
        raise remote.error(
            f"{remote.url} cannot be downloaded: {_root_cause(error)}; run again with a network connection and space"
            f" in {target.parent}, or save the file as {target}"
        ) from None
    except ValueError:
        raise remote.error(
            f"{remote.url}: the {remote.algorithm} of the downloaded file is not {remote.digest}; run again, or save"
            f" the right file as {target}"
        ) from None
    finally:
        if bar is not None:
            bar.close()
    return target


def verify(path: Path, remote: RemoteFile) -> None:
    """Refuse a file that does not have the hash.

    Raises
    ------
    SemlinkError
        `remote.error`, with both hashes and the address of the right file.
    MissingDependencyError
        If pooch is not installed.
    """
    try:
        digest = _import_pooch().file_hash(path, alg=remote.algorithm)
    except OSError as error:
        raise remote.error(f"{path}: {error.strerror}; download it from {remote.url}") from None
    if digest != remote.digest:
        raise remote.error(
            f"{path}: {remote.algorithm} is {digest}, expected {remote.digest}; the file is truncated or another one:"
            f" download it again from {remote.url}"
        )


def _import_pooch() -> ModuleType:
    with packages_of("demo", purpose="downloading"):
        import pooch
    # Its own lines on stderr say nothing that the progress bar and the errors do not.
    pooch.get_logger().setLevel(logging.ERROR)
    return pooch


def _root_cause(error: BaseException) -> str:
    """The operating system's reason, below what requests and urllib3 wrap around it."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error)


class _Bar:
    """A bar of rich with the interface that pooch uses, which is that of tqdm."""

    def __init__(self, progress: Progress, description: str) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task(description, total=None)

    @property
    def total(self) -> float | None:
        """Size of the file [bytes]; None if the server does not say."""
        return next((task.total for task in self._progress.tasks if task.id == self._task), None)

    @total.setter
    def total(self, num_bytes: int) -> None:
        self._progress.update(self._task, total=num_bytes or None)

    def update(self, num_bytes: int) -> None:
        """Advance the bar."""
        self._progress.update(self._task, advance=num_bytes)

    def reset(self) -> None:
        """Begin again at zero."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """Remove the bar, if it is not removed yet."""
        if self._task in self._progress.task_ids:
            self._progress.remove_task(self._task)
