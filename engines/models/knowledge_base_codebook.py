"""The codebook of `adapted`: made of one knowledge base, small enough to travel to every transmitter.

    labels of the entries, or k-means --cells--> centroids and codewords
    principal components of the entries --------> projection of the analog part

The knowledge base makes it (`edge_rx.codebook`); a transmitter loads it from a file or receives it. The matrices are
quantized to 8 bits and both ends compute with the quantized ones, so that they decide the same. The file names the
knowledge base and the image encoder that it belongs to, and its hash is part of every frame's fingerprint: a frame of
another codebook is never decoded with this one.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from engines.models.arrays import FloatArray, quantize_rows, read_arrays
from engines.models.codebook import Codebook
from engines.models.codecs import link_fingerprint
from engines.models.codewords import packed, signs
from engines.models.nested_code import NestedCode
from semlink.codebook_chunks import MAX_CODEBOOK_BYTES
from semlink.errors import ModelSetError
from semlink.rates import RATES, Rate

__all__ = ["ADAPTED", "ADAPTED_HIGH_SNR", "MAX_CODEBOOK_BYTES", "KnowledgeBaseCodebook", "label_hashes"]

ADAPTED = "adapted"
"""Name of the codec."""
ADAPTED_HIGH_SNR = "adapted-high-snr"
"""Name of the high-SNR code in logs and results."""
_FORMAT = 2
_SPACE = 64  # hex digits of a SHA-256
_FINGERPRINT_BYTES = 32


def label_hashes(labels: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Hash of each label, (n,) uint64; 0 for an entry without one."""
    digests = (hashlib.sha256(label.encode()).digest()[:8] if label else bytes(8) for label in labels)
    return np.frombuffer(b"".join(digests), np.dtype("<u8")).astype(np.uint64)


@dataclass(frozen=True, eq=False)
class KnowledgeBaseCodebook:
    """A code made of a knowledge base.

    Attributes
    ----------
    mean : (feature_dim,) float32
    projection, projection_scales : (analog_dim, feature_dim) int8 and (analog_dim,) float32
    centroids, centroid_scales : (cells, feature_dim) int8, or (cells, analog_dim) in the coordinates of
        an orthonormal projection, and (cells,) float32
    offsets : (cells,) float32
    codewords : (cells, code_dim / 8) uint8, packed signs
    cell_shares : (cells,) float32
    cell_labels : (cells,) uint64, `label_hashes` of the cells' labels; 0 for a cell of unlabelled entries
    cell_accuracies : (cells,) float32, probability that an image of which a cell is decided has its label, 0..1
    digital_power_share, high_snr_digital_power_share : (code_dim,) float32
    agreement : (1,) float32, correlation of an image's analog part with that of the nearest entry
    knowledge_base : (32,) uint8, fingerprint of the knowledge base
    space : (64,) uint8, fingerprint of the image encoder in hex digits
    """

    mean: FloatArray
    projection: npt.NDArray[np.int8]
    projection_scales: FloatArray
    centroids: npt.NDArray[np.int8]
    centroid_scales: FloatArray
    offsets: FloatArray
    codewords: npt.NDArray[np.uint8]
    cell_shares: FloatArray
    cell_labels: npt.NDArray[np.uint64]
    cell_accuracies: FloatArray
    digital_power_share: FloatArray
    high_snr_digital_power_share: FloatArray
    agreement: FloatArray
    knowledge_base: npt.NDArray[np.uint8]
    space: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            if getattr(self, name).dtype != dtype:
                raise ModelSetError(f"codebook: {name} must be {np.dtype(dtype)}, got {getattr(self, name).dtype}")
        num_reals = self.digital_power_share.size
        expected = {
            "agreement": (1,),
            "knowledge_base": (_FINGERPRINT_BYTES,),
            "space": (_SPACE,),
            "cell_labels": self.cell_shares.shape,
            "cell_accuracies": self.cell_shares.shape,
            "digital_power_share": (num_reals,),
            "high_snr_digital_power_share": (num_reals,),
        }
        sizes = {name: getattr(self, name).shape for name in expected}
        if sizes != expected:
            raise ModelSetError(f"codebook: shapes do not fit together: {sizes}")
        if not set(self.space.tobytes()) <= set(b"0123456789abcdef"):
            raise ModelSetError("codebook: the fingerprint of its image encoder is not in hex digits")
        if not 0.0 <= self.agreement[0] < 1.0:
            raise ModelSetError(f"codebook: agreement must be in [0, 1), got {self.agreement[0]:g}")
        if not ((self.cell_accuracies >= 0.0) & (self.cell_accuracies <= 1.0)).all():
            raise ModelSetError("codebook: cell_accuracies must be in [0, 1]")
        if not self.cell_shares.size:
            raise ModelSetError("codebook: has no cells, which a knowledge base's codebook needs")
        try:
            _ = self.code  # checks the rest
        except (ValueError, IndexError, TypeError) as error:
            raise ModelSetError(f"codebook: shapes do not fit together: {error}") from None

    @classmethod
    def of(
        cls,
        code: Codebook,
        *,
        cell_labels: Sequence[str],
        cell_accuracies: FloatArray,
        agreement: float,
        knowledge_base: bytes,
        space: str,
    ) -> Self:
        """Quantize a code to 8 bits.

        Parameters
        ----------
        cell_labels : label of each cell, "" without one
        cell_accuracies : see the attribute
        agreement : see the attribute
        knowledge_base : fingerprint of the knowledge base, 32 bytes
        space : fingerprint of the image encoder, in hex
        """
        projection, projection_scales = quantize_rows(code.analog_scale * code.projection.T)
        # Times the lengths of its columns, a projection has the coordinates of an orthonormal one, which suit 8 bits.
        lengths = _column_lengths(projection, projection_scales) / code.analog_scale
        centroids, centroid_scales = quantize_rows(
            np.asarray(code.centroids * lengths if code.decides_by_projection else code.centroids, dtype=np.float32)
        )
        offsets = np.zeros(code.num_cells, np.float32) if code.offsets is None else code.offsets
        shares = (code.digital_power_share, code.high_snr_digital_power_share)
        digital, high_snr_digital = (np.full(code.code_dim, share, np.float32) for share in shares)
        return cls(
            mean=code.mean,
            projection=projection,
            projection_scales=projection_scales,
            centroids=centroids,
            centroid_scales=centroid_scales,
            offsets=offsets,
            codewords=packed(code.codewords),
            cell_shares=code.cell_shares,
            cell_labels=label_hashes(cell_labels),
            cell_accuracies=cell_accuracies,
            digital_power_share=digital,
            high_snr_digital_power_share=high_snr_digital,
            agreement=np.array([agreement], np.float32),
            knowledge_base=np.frombuffer(knowledge_base, np.uint8),
            space=np.frombuffer(space.encode(), np.uint8),
        )

    @cached_property
    def code(self) -> Codebook:
        """The code with the quantized numbers, as both ends compute it; ModelSetError if they do not fit."""
        with np.errstate(over="ignore"):  # an infinite product is refused below
            projection = (self.projection * self.projection_scales[:, None]).T
            centroids = self.centroids * self.centroid_scales[:, None]
            if self.centroids.ndim == 2 and self.centroids.shape[1:] != self.mean.shape:
                centroids = centroids / _column_lengths(self.projection, self.projection_scales)
        return Codebook(
            mean=self.mean,
            projection=np.ascontiguousarray(projection, dtype=np.float32),
            centroids=np.asarray(centroids, dtype=np.float32),
            codewords=signs(self.codewords, num_reals=len(self.digital_power_share)),
            cell_shares=self.cell_shares,
            energy_score_threshold=None,
            digital_power_share=self.digital_power_share,
            high_snr_digital_power_share=self.high_snr_digital_power_share,
            analog_scale=1.0,
            offsets=self.offsets,
        )

    @property
    def encoder_fingerprint(self) -> str:
        """Fingerprint of the image encoder whose features the code is for, in hex."""
        return self.space.tobytes().decode("ascii", "replace")

    @property
    def num_labelled_cells(self) -> int:
        """Number of cells that are of a label: of all its entries, and of those without a label that are like them.

        The other cells are of k-means, and hold only entries without a label. Where labels are not used, all cells are
        of k-means.
        """
        return int(np.count_nonzero(self.cell_labels))

    @cached_property
    def content(self) -> bytes:
        """The codebook as an .npz file: the bytes that were read, or the same ones for the same numbers."""
        buffer = io.BytesIO()
        np.savez(buffer, format=np.array(_FORMAT), **{name: getattr(self, name) for name in _DTYPES})
        return buffer.getvalue()

    @cached_property
    def sha256(self) -> str:
        """Identity of the codebook: SHA-256 of `content`, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    def fingerprint(self, rate: Rate, *, is_high_snr: bool = False) -> bytes:
        """Fingerprint of frames at a rate; the high-SNR code has another one."""
        name = ADAPTED_HIGH_SNR if is_high_snr else ADAPTED
        return link_fingerprint(f"semlink {name}", self.encoder_fingerprint, self.sha256, str(rate.num_symbols))

    def fingerprints(self, rates: Sequence[Rate] = RATES, *, is_high_snr: bool = False) -> dict[Rate, bytes]:
        """Fingerprint of frames at each rate."""
        return {rate: self.fingerprint(rate, is_high_snr=is_high_snr) for rate in rates}

    @property
    def nested_code(self) -> NestedCode:
        """The code as a transmitter sends it."""
        return NestedCode(
            name=ADAPTED,
            high_snr_name=ADAPTED_HIGH_SNR,
            codebook=self.code,
            fingerprints=self.fingerprints(),
            high_snr_fingerprints=self.fingerprints(is_high_snr=True) if self.code.has_high_snr_code else {},
        )

    def require_encoder(self, encoder_fingerprint: str, *, source: str) -> None:
        """ModelSetError unless the codebook is for features of this image encoder."""
        if self.encoder_fingerprint != encoder_fingerprint:
            raise ModelSetError(
                f"{source}: a codebook for the image encoder {self.encoder_fingerprint[:12]}, this model set has"
                f" {encoder_fingerprint[:12]}; name the model set that the knowledge base was built with"
            )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a codebook's file; ModelSetError if it is missing, oversized, cut short, or no codebook."""
        try:
            with path.open("rb") as file:
                content = file.read(MAX_CODEBOOK_BYTES + 1)
        except OSError as error:
            raise ModelSetError(f"{path}: {error.strerror}") from None
        return cls.read(content, source=str(path))

    @classmethod
    def read(cls, content: bytes, *, source: str) -> Self:
        """Read foreign bytes.

        Parameters
        ----------
        source : where the bytes come from, for the message

        Raises
        ------
        ModelSetError
            If they are more than `MAX_CODEBOOK_BYTES`, cut short, of another format, or no codebook. Changed bytes that
            are a codebook are another one: `sha256` differs, and no receiver decodes its frames.
        """
        if len(content) > MAX_CODEBOOK_BYTES:
            raise ModelSetError(f"{source}: more than {MAX_CODEBOOK_BYTES} bytes, which no codebook has")
        what = "a knowledge base's codebook"
        stored = read_arrays(content, ("format", *_DTYPES), source=source, what=what, max_bytes=MAX_CODEBOOK_BYTES)
        if stored["format"].dtype.kind != "i" or stored["format"].shape != ():
            raise ModelSetError(f"{source}: does not hold {what} (its format is no number)")
        if stored["format"] != _FORMAT:
            raise ModelSetError(
                f"{source}: codebook format {stored['format']}, this version reads {_FORMAT}; make it again: semlink kb"
                " make-codebook, semlink kb export-codebook"
            )
        try:
            codebook = cls(**{name: stored[name] for name in _DTYPES})
        except ModelSetError as error:
            raise ModelSetError(f"{source}: {error}") from None
        # Versions of Python write different bytes for the same arrays, and the hash must be that of the sender.
        vars(codebook)["content"] = content
        return codebook


def _column_lengths(projection: npt.NDArray[np.int8], scales: FloatArray) -> FloatArray:
    """Length of each column of the projection, (analog_dim,), at least the smallest that divides."""
    lengths = np.linalg.norm(projection * scales[:, None], axis=1)
    return np.asarray(np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)


_DTYPES: dict[str, Any] = {field.name: np.float32 for field in fields(KnowledgeBaseCodebook)} | {
    "projection": np.int8,
    "centroids": np.int8,
    "codewords": np.uint8,
    "cell_labels": np.uint64,
    "knowledge_base": np.uint8,
    "space": np.uint8,
}
"""Type of each array in a codebook's file."""
