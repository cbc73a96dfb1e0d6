"""Digests of the code that an evaluation's results depend on, for the key of its journal."""

from __future__ import annotations

import hashlib
import sys
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from semlink.channel import AnyChannel, CustomChannel
from semlink.files import file_sha256

__all__ = ["channel_version", "code_version"]


def code_version(function: Callable[..., Any]) -> str:
    """Digest of the file that defines a function, and of the values that are bound to it.

    The same in every process, unless the function is in no file or an object without a repr of its values is bound to
    it: the digest is then another one every time, so that no earlier result is reused.
    """
    return hashlib.sha256("\n".join(_parts(function, set())).encode()).hexdigest()


def channel_version(channel: AnyChannel) -> str:
    """Everything that a channel's results depend on: its name, and of a user's channel its properties and its code."""
    if not isinstance(channel, CustomChannel):
        return channel.value
    return f"{channel.value} {channel.is_block_fading} {channel.rotates_phase} {code_version(channel.apply)}"


def _parts(value: object, seen: set[int]) -> Iterator[str]:
    if id(value) in seen:  # a function that calls itself
        return
    seen.add(id(value))
    if isinstance(value, partial):
        for bound in (value.func, *value.args, *(part for item in sorted(value.keywords.items()) for part in item)):
            yield from _parts(bound, seen)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    elif not callable(value):
        yield repr(value)
    elif not hasattr(value, "__qualname__"):  # an object that can be called
        yield from _parts(type(value), seen)
        yield repr(value)
    else:
        file = getattr(sys.modules.get(value.__module__), "__file__", None)
        yield file_sha256(Path(file)) if file else uuid.uuid4().hex
        yield value.__qualname__
        if (owner := getattr(value, "__self__", None)) is not None:
            yield repr(owner)
        for cell in getattr(value, "__closure__", None) or ():
            yield from _parts(cell.cell_contents, seen)
