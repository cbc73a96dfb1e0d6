"""Codewords of signs, as they are stored and as they are repeated to the longest code."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray
from semlink.errors import ModelSetError

__all__ = ["LATENT_DIM", "num_repeats", "packed", "repeat", "signs"]

LATENT_DIM = 2048
"""Reals of the longest code: 1,024 symbols, rate 1/3."""


def repeat(code: FloatArray, length: int = LATENT_DIM) -> FloatArray:
    """Repeat codes (batch, dim) until they fill the longest one, (batch, length)."""
    return np.tile(code, num_repeats(code.shape[1], length))[:, :length]


def num_repeats(dim: int, length: int = LATENT_DIM) -> int:
    """Number of repetitions of a code of `dim` reals that fill `length`; the last one may be partial."""
    return -(-length // dim)


def packed(codewords: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """Pack signs (cells, code_dim) into bits."""
    return np.packbits(codewords > 0, axis=1)


def signs(bits: npt.NDArray[np.uint8], *, num_reals: int) -> npt.NDArray[np.int8]:
    """Unpack bits (cells, bytes) to -1 and 1, (cells, num_reals)."""
    if bits.dtype != np.uint8 or bits.ndim != 2:
        raise ModelSetError(f"codebook: codewords must be bits in rows, got {bits.dtype} {bits.shape}")
    return 2 * np.unpackbits(bits, axis=1, count=num_reals).astype(np.int8) - 1
