"""Arrays in .npz files, read without trusting the file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from semlink.errors import ModelSetError

__all__ = ["FloatArray", "load_arrays"]

FloatArray: TypeAlias = npt.NDArray[np.float32]


def load_arrays(
    path: Path, names: Sequence[str], *, what: str, optional: Sequence[str] = ()
) -> dict[str, npt.NDArray[Any]]:
    """Read named arrays from an .npz file.

    Parameters
    ----------
    what : content of the file, for the message
    optional : of the names, those that the file may lack

    Raises
    ------
    ModelSetError
        If the file is missing, cut short, or lacks one of them.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelSetError(f"{path}: {error.strerror}") from None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in names if name in stored or name not in optional}
    # numpy reports a damaged archive through zipfile's and its own errors.
    except Exception as error:  # noqa: BLE001
        raise ModelSetError(f"{path}: does not hold {what} ({type(error).__name__})") from None
