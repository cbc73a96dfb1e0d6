"""Files: written as a whole or not at all, locked, hashed, and named safely."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

__all__ = [
    "file_sha256",
    "is_plain_name",
    "lock",
    "locked_file",
    "replaced_file",
    "sync_path",
    "try_lock",
    "write_json",
]


def is_plain_name(name: str) -> bool:
    """Whether a name, joined to a folder, stays in it: no path, and neither of the two dots.

    Examples
    --------
    >>> [is_plain_name(name) for name in ("encoder.onnx", "../encoder.onnx", "..", "")]
    [True, False, False, False]
    """
    return name not in ("", ".", "..") and not any(sign in name for sign in "/\\\0")


@contextmanager
def replaced_file(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a temporary file beside `path` to write, which replaces `path` when the body succeeds.

    A reader sees the whole old file or the whole new one; after an error the old file is unchanged.

    Parameters
    ----------
    path : file to write; its folder must exist
    durable : whether the new file also survives a power cut from here on. That takes two syncs, so a caller that
        writes many files syncs them at the end instead, with `sync_path`

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replaced_file(Path(folder, "note.txt")) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     Path(folder, "note.txt").read_text()
    'whole'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        if durable:
            sync_path(temporary)
        temporary.replace(path)
        if durable:
            sync_path(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    """Write a value as indented JSON, whole or not at all; for `durable` and the errors see `replaced_file`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_json(Path(folder, "rates.json"), {"num_symbols": [16, 64]})
    ...     msgspec.json.decode(Path(folder, "rates.json").read_bytes())
    {'num_symbols': [16, 64]}
    """
    with replaced_file(path, durable=durable) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(value)) + b"\n")


def locked_file(path: Path) -> IO[bytes]:
    """Open a lock file, made if need be, and wait until no other process holds its lock.

    Returns
    -------
    file : holds the lock until it is closed; the kernel closes the files of a process that dies

    Raises
    ------
    OSError
        If the file cannot be made or locked.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, locked_file(Path(folder, "run.lock")):
    ...     pass  # no other process is here
    """
    file = path.open("wb")
    try:
        lock(file.fileno())
    except BaseException:
        file.close()
        raise
    return file


def lock(descriptor: int) -> None:
    """Wait until no other process has the file or folder of a descriptor locked, and lock it until it is closed."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def try_lock(descriptor: int) -> bool:
    """Lock as `lock` does, but return False at once where another process has it locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_path(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the medium."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
