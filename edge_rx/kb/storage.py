"""Whole folders on disk: exchanged in one step, locked, synced."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from semlink.errors import KnowledgeBaseError
from semlink.files import lock, sync_path, try_lock

__all__ = ["exchange_folders", "is_locked", "lock_folder", "lock_whatever_is_there", "sync_tree"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def sync_tree(folder: Path) -> None:
    """Wait until a folder and all in it is on the medium: files before the folders that name them."""
    for root, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync_path(Path(root, name))
        sync_path(Path(root))


def lock_folder(folder: Path) -> int:
    """Lock a folder against other processes until the returned descriptor is closed; wait for it if need be."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        lock(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def lock_whatever_is_there(folder: Path) -> int:
    """Lock a folder that others may exchange for another: the one that has the name when the lock is held.

    Raises
    ------
    OSError
        If there is no such folder.
    """
    while True:
        descriptor = lock_folder(folder)
        if folder.is_dir() and os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether a process holds a folder's lock; the kernel drops the locks of a process that dies."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def exchange_folders(first: Path, second: Path) -> None:
    """Swap two folders' names in one step, so that neither name is ever without a folder.

    Raises
    ------
    KnowledgeBaseError
        If this system or file system has no such step; renaming twice instead would leave a
        moment, and after a crash a state, in which there is no knowledge base.
    """
    # The standard library's rename cannot exchange; renameat2(2) has been in glibc since 2.28.
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    code = errno.ENOSYS
    if renameat2 is not None:
        if not renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE):
            return
        code = ctypes.get_errno()
    raise KnowledgeBaseError(
        f"{second}: cannot be replaced in one step here ({os.strerror(code)}); remove it first, or build beside it"
    )
