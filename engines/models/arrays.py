"""Arrays in .npz files, read without trusting the file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from semlink.errors import ModelSetError

__all__ = ["FloatArray", "load_arrays", "quantize_rows", "read_arrays"]

FloatArray: TypeAlias = npt.NDArray[np.float32]
_MAX_CODE = 127


def load_arrays(
    path: Path, names: Sequence[str], *, what: str, optional: Sequence[str] = ()
) -> dict[str, npt.NDArray[Any]]:
    """Read named arrays from an .npz file; see `read_arrays`. ModelSetError if the file is missing, too."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelSetError(f"{path}: {error.strerror}") from None
    return read_arrays(content, names, source=str(path), what=what, optional=optional)


def read_arrays(
    content: bytes,
    names: Sequence[str],
    *,
    source: str,
    what: str,
    optional: Sequence[str] = (),
    max_bytes: int | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Read named arrays from the bytes of an .npz file.

    Parameters
    ----------
    source : where the bytes come from, for the message
    what : content of the file, for the message
    optional : of the names, those that the file may lack
    max_bytes : largest size of all arrays, so that a small file does not unpack to a large one; None for files of the
        user's own

    Raises
    ------
    ModelSetError
        If the bytes are cut short, unpack to more than `max_bytes`, or lack one of the names.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            if max_bytes is not None and sum(member.file_size for member in stored.zip.infolist()) > max_bytes:
                raise ValueError
            return {name: stored[name] for name in names if name in stored or name not in optional}
    # numpy reports a damaged archive through zipfile's and its own errors.
    except Exception as error:  # noqa: BLE001
        raise ModelSetError(f"{source}: does not hold {what} ({type(error).__name__})") from None


def quantize_rows(rows: FloatArray) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Quantize rows (n, dim) to 8 bits: codes (n, dim) int8 and scales (n,) float32; a row is codes times scale."""
    largest = np.maximum(np.abs(rows).max(axis=1), np.finfo(np.float32).tiny)
    scales = np.asarray(largest / _MAX_CODE, dtype=np.float32)
    return np.rint(rows / scales[:, None]).astype(np.int8), scales
