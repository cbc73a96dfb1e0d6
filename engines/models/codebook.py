"""The `nested` codec's numbers, and what they make of features: one code whose every prefix is a code.

    features --centre, unit length--> direction --project--> analog part        (linear, travels anywhere)
                                               --nearest centroid--> codeword   (digital, for what is familiar)

A familiar direction, one of the kind that the code was fitted to, is sent as the codeword of its
cell with a little of the analog part on top; any other as the analog part alone. Codewords are
signs, so every prefix of them is a spherical code too; the projection is by principal
components, so every prefix holds the directions that matter most. The receiver inverts nothing: it
compares what it hears with what its own entries would have sounded like (`edge_rx.decoders.map_detector`).

How the power is shared between codeword and analog part is chosen for the worst: a transmitter knows no SNR. One that
is told of a clear channel can spare power for the analog part (`Codebook.for_high_snr`).

Sources: quantise-and-refine for hybrid digital-analog transmission, Skoglund, Phamdo, Alajaji, IEEE
Trans. Inf. Theory 52(8), 2006; random spherical codes, Shannon, Bell Syst. Tech. J. 38, 1959.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray, load_arrays
from semlink.errors import EngineError, ModelSetError

__all__ = ["ENERGY_SCORE_SHARPNESS", "LATENT_DIM", "Codebook", "num_repeats", "repeat"]

LATENT_DIM = 2048
"""Reals of the longest code: 1,024 symbols, rate 1/3."""

_STORED_AS = {
    **{name: name for name in ("mean", "projection", "centroids", "codewords", "cell_shares")},
    "energy_score_threshold": "familiarity_threshold",
    "digital_power_share": "coarse_share",
    "high_snr_digital_power_share": "clear_share",
    "analog_scale": "analog_scale",
}
"""Name of each attribute in a codebook's file. The file's names are part of its format and of its hash."""
ENERGY_SCORE_SHARPNESS = 10.0
"""Of the soft maximum over cells that says how familiar a direction is."""


def repeat(code: FloatArray) -> FloatArray:
    """Repeat codes (batch, feature_dim) until they fill the longest one, (batch, LATENT_DIM)."""
    return np.tile(code, num_repeats(code.shape[1]))[:, :LATENT_DIM]


def num_repeats(feature_dim: int) -> int:
    """How often a code of `feature_dim` reals is written down to fill LATENT_DIM, the last time perhaps in part."""
    return -(-LATENT_DIM // feature_dim)


def _signs(bits: npt.NDArray[np.uint8], *, num_reals: int) -> npt.NDArray[np.int8]:
    """Packed bits to -1 and 1."""
    if bits.dtype != np.uint8 or bits.ndim != 2:
        raise ModelSetError(f"codebook: codewords must be bits in rows, got {bits.dtype} {bits.shape}")
    return 2 * np.unpackbits(bits, axis=1, count=num_reals).astype(np.int8) - 1


@dataclass(frozen=True, eq=False)
class Codebook:
    """What both ends share.

    Attributes
    ----------
    mean : (feature_dim,) float32, what is taken from features before anything else
    projection : (feature_dim, feature_dim) float32, orthonormal, most important column first
    centroids : (cells, feature_dim) float32, unit length
    codewords : (cells, feature_dim) int8, signs
    cell_shares : (cells,) float32, positive: how often each cell is sent
    energy_score_threshold : least energy_score at which a cell's codeword is sent
    digital_power_share : share of the power that the codeword then takes, 0..1
    high_snr_digital_power_share : the same towards a receiver that reports a clear channel
    analog_scale : brings the analog part's first reals to the power of a codeword, on average
    """

    mean: FloatArray
    projection: FloatArray
    centroids: FloatArray
    codewords: npt.NDArray[np.int8]
    cell_shares: FloatArray
    energy_score_threshold: float
    digital_power_share: float
    high_snr_digital_power_share: float
    analog_scale: float

    def __post_init__(self) -> None:
        cells, dim = self.centroids.shape if self.centroids.ndim == 2 else (0, 0)
        shapes = (self.mean.shape, self.projection.shape, self.codewords.shape, self.cell_shares.shape)
        if not cells or shapes != ((dim,), (dim, dim), (cells, dim), (cells,)):
            raise ModelSetError(f"codebook: shapes do not fit together: {shapes} with centroids {self.centroids.shape}")
        for name in ("digital_power_share", "high_snr_digital_power_share"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ModelSetError(f"codebook: {name} must be in (0, 1], got {getattr(self, name):g}")
        numbers = (self.mean, self.projection, self.centroids, self.cell_shares, self.energy_score_threshold)
        if not all(np.isfinite(values).all() for values in numbers):
            raise ModelSetError("codebook: holds values that are not finite")
        if not (self.cell_shares > 0).all() or not 0.0 < self.analog_scale < np.inf:
            raise ModelSetError("codebook: cell shares and the analog scale must be positive")

    @property
    def feature_dim(self) -> int:
        """Length of the features."""
        return len(self.mean)

    @property
    def num_cells(self) -> int:
        """Number of codewords."""
        return len(self.centroids)

    @property
    def has_high_snr_code(self) -> bool:
        """Whether the power is shared otherwise towards a receiver that reports a clear channel."""
        return self.high_snr_digital_power_share != self.digital_power_share

    def for_high_snr(self) -> Codebook:
        """The code as it is sent to a receiver that reports a clear channel."""
        return replace(self, digital_power_share=self.high_snr_digital_power_share)

    def directions(self, features: FloatArray) -> FloatArray:
        """Centred features of unit length, (batch, feature_dim).

        Raises
        ------
        EngineError
            If features are of another width, not finite, or equal to the mean, which has no direction.
        """
        if features.ndim != 2 or features.shape[1] != self.feature_dim:
            raise EngineError(f"features must be (batch, {self.feature_dim}), got {features.shape}")
        centred = features - self.mean
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise EngineError("features must be finite, and differ from the codebook's mean")
        return np.asarray(centred / lengths, dtype=np.float32)

    def analog(self, directions: FloatArray) -> FloatArray:
        """The analog part of a code, at the power that it has on top of a codeword; (batch, feature_dim)."""
        return np.asarray(self.analog_scale * (directions @ self.projection), dtype=np.float32)

    def energy_score(self, similarity: FloatArray) -> FloatArray:
        """How much directions look like what the code was fitted to.

        A soft maximum: a direction that is somewhat near to many cells is at home among them, one
        that is near to none but the one that it happens to be nearest to is not.

        Parameters
        ----------
        similarity : (batch, cells) float32, cosines of directions and centroids

        Returns
        -------
        energy_score : (batch,) float32
        """
        return np.asarray(np.log(np.exp(ENERGY_SCORE_SHARPNESS * similarity).sum(axis=1)), dtype=np.float32)

    def latent(self, features: FloatArray) -> FloatArray:
        """The longest code, (batch, LATENT_DIM) float32; its first 2 n reals are the code of n symbols.

        What the transmitter's graph computes (`engines.graphs.nested`), in numpy.
        """
        directions = self.directions(features)
        similarity = directions @ self.centroids.T
        analog = self.analog(directions)
        coarse = self.superpose(self.codewords[similarity.argmax(axis=1)], analog)
        sends_codeword = self.energy_score(similarity) >= self.energy_score_threshold
        return repeat(np.where(sends_codeword[:, None], coarse, analog))

    def superpose(self, codewords: npt.NDArray[np.int8], analog: FloatArray) -> FloatArray:
        """Put the analog part on top of codewords, both (batch, feature_dim), each with its share of the power."""
        share = self.digital_power_share
        return np.asarray(share**0.5 * codewords + (1.0 - share) ** 0.5 * analog, dtype=np.float32)

    def to_bytes(self) -> bytes:
        """The codebook as an .npz file, the same bytes for the same numbers; matrices in fp16, signs in bits."""
        buffer = io.BytesIO()
        values: dict[str, Any] = {stored: np.asarray(getattr(self, name)) for name, stored in _STORED_AS.items()}
        for name in ("projection", "centroids"):
            values[name] = values[name].astype(np.float16)
        values["codewords"] = np.packbits(values["codewords"] > 0, axis=1)
        np.savez(buffer, **values)
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path) -> Codebook:
        """Read a codebook.

        Raises
        ------
        ModelSetError
            If the file is missing, cut short, or not a codebook.
        """
        # Codebooks of the first releases have one power share.
        stored = load_arrays(path, tuple(_STORED_AS.values()), what="a codebook", optional=("clear_share",))
        values = {name: stored[key] for name, key in _STORED_AS.items() if key in stored}
        try:
            mean = values["mean"].astype(np.float32)
            return cls(
                mean=mean,
                projection=values["projection"].astype(np.float32),
                centroids=values["centroids"].astype(np.float32),
                codewords=_signs(values["codewords"], num_reals=mean.size),
                cell_shares=values["cell_shares"].astype(np.float32),
                energy_score_threshold=float(values["energy_score_threshold"]),
                digital_power_share=float(values["digital_power_share"]),
                high_snr_digital_power_share=float(
                    values.get("high_snr_digital_power_share", values["digital_power_share"])
                ),
                analog_scale=float(values["analog_scale"]),
            )
        except (TypeError, ValueError):
            raise ModelSetError(f"{path}: does not hold a codebook: not numbers where there should be") from None
