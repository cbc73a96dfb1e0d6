"""The `index` codec: a transmitter that holds the knowledge base's vectors sends the number of the nearest entry.

    features --nearest vector--> entry number --codeword--> symbols    (transmitter)
    symbols --nearest codeword--> entry number                         (receiver)

The code is spherical and random: one word of signs for each entry, from a hash of the knowledge base's fingerprint and
the entry's number, so that both ends compute it without exchanging it. Every prefix of it is a code too (4 symbols have
only 256 words, which entries then share). At a few dozen symbols and thousands of words, maximum-likelihood decoding of
such a code is close to the best possible (Shannon, Bell Syst. Tech. J. 38, 1959; docs/results.md draws the bound beside
it), and it is a nearest-neighbour search.

Where entries have labels, the transmitter can decide the label first, by the discriminants of the knowledge base's own
codebook, and then send the nearest entry of that label.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray, load_arrays, quantize_rows
from engines.models.codecs import link_fingerprint
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.errors import EngineError, ModelSetError
from semlink.rates import Rate

__all__ = ["EntryCodebook", "LabelChoice", "entry_codewords", "index_fingerprint"]

_FIELDS = ("codes", "scales", "knowledge_base", "space")
_CHOICE_FIELDS = ("codebook", "cells")


@dataclass(frozen=True, eq=False)
class LabelChoice:
    """What decides an image's label, and which entries have it.

    Attributes
    ----------
    codebook : decides the cell of an image's features
    cells : (entries,) int64, cell of each entry; -1 for one that is not sent for any cell
    """

    codebook: KnowledgeBaseCodebook
    cells: npt.NDArray[np.int64]

    def is_eligible(self, features: FloatArray) -> npt.NDArray[np.bool_]:
        """Which entries may be sent for each image, (batch, entries); all of them for a cell without one."""
        code = self.codebook.code
        is_own = code.cells(code.directions(features))[:, None] == self.cells
        return np.asarray(is_own | ~is_own.any(axis=1, keepdims=True))


def entry_codewords(knowledge_base: bytes, entries: npt.NDArray[np.int64], rate: Rate) -> FloatArray:
    """Codewords of entries: reals of +-sqrt(1/2), so that every symbol has power 1 (QPSK).

    Parameters
    ----------
    knowledge_base : fingerprint of the knowledge base
    entries : (m,) int64, numbers of entries, not negative
    rate : gives n

    Returns
    -------
    latent : (m, 2 n) float32; the code of a smaller rate is its prefix
    """
    num_bytes = rate.latent_dim // 8
    words = b"".join(
        hashlib.shake_256(knowledge_base + int(entry).to_bytes(8, "little")).digest(num_bytes) for entry in entries
    )
    bits = np.unpackbits(np.frombuffer(words, np.uint8)).reshape(len(entries), rate.latent_dim)
    return (np.float32(2.0) * bits - np.float32(1.0)) * np.float32(np.sqrt(0.5))


def index_fingerprint(space: str, knowledge_base: bytes, rate: Rate, *, decides_label: bool = False) -> bytes:
    """Fingerprint of `index` frames: see `engines.models.codecs.link_fingerprint`.

    Parameters
    ----------
    space : fingerprint of the image encoder or projection head whose vectors are compared, in hex
    knowledge_base : fingerprint of the knowledge base whose entries are numbered
    decides_label : whether the transmitter decides the label first, and sends the nearest entry of it
    """
    kind = "semlink index, by label" if decides_label else "semlink index"
    return link_fingerprint(kind, space, knowledge_base.hex(), str(rate.num_symbols))


@dataclass(frozen=True, eq=False)
class EntryCodebook:
    """The vectors of a knowledge base for a transmitter, quantized to 8 bits.

    Attributes
    ----------
    codes : (entries, feature_dim) int8
    scales : (entries,) float32; a vector is its codes times its scale
    knowledge_base : fingerprint of the knowledge base
    space : fingerprint of the image encoder or projection head of the vectors, in hex
    choice : decides the label of an image first; None sends the nearest entry whatever its label
    """

    codes: npt.NDArray[np.int8]
    scales: FloatArray
    knowledge_base: bytes
    space: str
    choice: LabelChoice | None = None

    def __post_init__(self) -> None:
        if self.codes.dtype != np.int8 or self.scales.dtype != np.float32:
            raise ModelSetError(
                f"entry codebook: expected int8 and float32, got {self.codes.dtype} and {self.scales.dtype}"
            )
        if self.codes.ndim != 2 or self.scales.shape != self.codes.shape[:1] or not len(self.codes):
            raise ModelSetError(f"entry codebook: codes {self.codes.shape} and scales {self.scales.shape} do not fit")
        if not np.isfinite(self.scales).all():
            raise ModelSetError("entry codebook: a scale is not finite")
        if self.choice is not None and self.choice.cells.shape != self.scales.shape:
            raise ModelSetError(f"entry codebook: {len(self.scales)} entries with {len(self.choice.cells)} cells")
        if self.choice is not None and self.choice.codebook.code.feature_dim != self.codes.shape[1]:
            raise ModelSetError("entry codebook: its codebook is for features of another width")

    @classmethod
    def of(
        cls, features: FloatArray, knowledge_base: bytes, *, space: str, choice: LabelChoice | None = None
    ) -> EntryCodebook:
        """Quantize the vectors of a knowledge base, (entries, feature_dim) float32, to 8 bits."""
        if not np.isfinite(features).all():
            raise EngineError("the vectors of an entry codebook must be finite")
        return cls(*quantize_rows(features), knowledge_base, space, choice)

    def fingerprint(self, rate: Rate) -> bytes:
        """Fingerprint of frames at a rate."""
        return index_fingerprint(self.space, self.knowledge_base, rate, decides_label=self.choice is not None)

    def nearest(self, features: FloatArray) -> npt.NDArray[np.int64]:
        """Number of the entry with the largest cosine for each of (batch, feature_dim) float32, of the label chosen.

        Raises
        ------
        EngineError
            If the features have another width, or are not finite.
        """
        if features.ndim != 2 or features.shape[1] != self.codes.shape[1]:
            raise EngineError(f"features must be (batch, {self.codes.shape[1]}), got {features.shape}")
        if not np.isfinite(features).all():
            raise EngineError("features must be finite")
        similarity = features @ self.vectors.T
        if self.choice is not None:
            similarity = np.where(self.choice.is_eligible(features), similarity, -np.inf)
        return np.asarray(similarity.argmax(axis=1), dtype=np.int64)

    @cached_property
    def vectors(self) -> FloatArray:
        """Dequantized vectors, (entries, feature_dim) float32."""
        return np.asarray(self.codes * self.scales[:, None], dtype=np.float32)

    def to_bytes(self) -> bytes:
        """Serialise as a compressed .npz file."""
        buffer = io.BytesIO()
        choice: dict[str, Any] = {}
        if self.choice is not None:
            choice = {
                "codebook": np.frombuffer(self.choice.codebook.content, np.uint8),
                "cells": self.choice.cells.astype(np.int32),
            }
        np.savez_compressed(
            buffer,
            **choice,
            codes=self.codes,
            scales=self.scales,
            knowledge_base=np.frombuffer(self.knowledge_base, np.uint8),
            space=np.array(self.space),
        )
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path) -> EntryCodebook:
        """Read an entry codebook; ModelSetError if the file is missing, cut short, or holds no entry codebook."""
        values = load_arrays(path, (*_FIELDS, *_CHOICE_FIELDS), what="an entry codebook", optional=_CHOICE_FIELDS)
        choice = None
        knowledge_base, space = values["knowledge_base"].tobytes(), str(values["space"])
        if held := [name for name in _CHOICE_FIELDS if name in values]:
            if len(held) < len(_CHOICE_FIELDS) or values["cells"].dtype.kind != "i":
                raise ModelSetError(
                    f"{path}: does not hold an entry codebook (its cells or their codebook are missing)"
                )
            codebook = KnowledgeBaseCodebook.read(values["codebook"].tobytes(), source=str(path))
            if (codebook.encoder_fingerprint, codebook.knowledge_base.tobytes()) != (space, knowledge_base):
                raise ModelSetError(f"{path}: holds the codebook of another knowledge base; export it again")
            choice = LabelChoice(codebook, values["cells"].astype(np.int64))
        return cls(values["codes"], values["scales"], knowledge_base, space, choice)
