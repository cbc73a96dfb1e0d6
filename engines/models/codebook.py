"""The code of `nested`, `nested-cells` and `adapted`: parameters and encoder. Every prefix is a code of a lower rate.

    features --centre, unit length--> direction --project--> analog part        (linear, for any image)
                                               --largest score--> codeword      (digital, above the energy threshold)

The code of `nested` has no cells and no codewords: every image is sent as its analog part alone, which assumes nothing
of the knowledge base. The codeword of `nested-cells` is that of the nearest centroid of a training set, and a direction
whose energy score is below the threshold is sent as the analog part alone, because it does not resemble that set. The
codebook of `adapted` is made of a knowledge base (`engines.models.knowledge_base_codebook`): every direction is sent as
a codeword, with some analog power superposed. Codewords consist of signs, so every prefix of them is a spherical code
too; the projection orders principal components by variance, so every prefix keeps the strongest ones. The receiver
inverts nothing: it compares the observation with the noise-free signals of its own entries
(`edge_rx.decoders.map_detector`).

The power share of codeword and analog part is chosen for low SNR, because a transmitter does not know the SNR. With an
SNR report a transmitter can give the analog part more power (`Codebook.for_high_snr`).

Sources: quantise-and-refine for hybrid digital-analog transmission, Skoglund, Phamdo, Alajaji, IEEE
Trans. Inf. Theory 52(8), 2006; random spherical codes, Shannon, Bell Syst. Tech. J. 38, 1959.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray, load_arrays
from engines.models.codewords import LATENT_DIM, packed, repeat, signs
from semlink.errors import EngineError, ModelSetError

__all__ = ["ENERGY_SCORE_SHARPNESS", "Codebook", "PowerShare"]

PowerShare: TypeAlias = float | FloatArray
"""A codeword's share of the power: the same for all reals, or (code_dim,) for each."""

_STORED_AS = {
    **{name: name for name in ("mean", "projection", "centroids", "codewords", "cell_shares")},
    "energy_score_threshold": "familiarity_threshold",
    "digital_power_share": "coarse_share",
    "high_snr_digital_power_share": "clear_share",
    "analog_scale": "analog_scale",
}
"""Name of each attribute in a codebook's file. The file's names are part of its format and of its hash."""
_OPTIONAL = ("familiarity_threshold", "clear_share")
"""Names that a file may lack: a code without cells has no threshold, and the first releases had one power share."""
ENERGY_SCORE_SHARPNESS = 10.0
"""Inverse temperature of the energy score."""


@dataclass(frozen=True, eq=False)
class Codebook:
    """Parameters of the code, which both ends hold.

    Attributes
    ----------
    mean : (feature_dim,) float32, subtracted from features first
    projection : (feature_dim, analog_dim) float32, columns by falling variance; the analog part repeats them until it
        has code_dim reals
    centroids : (cells, feature_dim) float32; a direction's cell has the largest inner product with it, plus the offset.
        Or (cells, analog_dim), for inner products with the projected direction. No rows in a code without cells
    codewords : (cells, code_dim) int8, signs
    cell_shares : (cells,) float32, positive: prior probability of each cell
    energy_score_threshold : smallest energy score at which the cell's codeword is sent; None if that does not depend on
        the score
    digital_power_share : the codeword's share of the power then, above 0 and at most 1; 0 in a code without cells,
        whose analog part has all of the power at every SNR
    high_snr_digital_power_share : the same for a receiver that reports a high SNR
    analog_scale : factor that gives the first reals of the analog part the mean power of a codeword
    offsets : (cells,) float32; None for zeros
    """

    mean: FloatArray
    projection: FloatArray
    centroids: FloatArray
    codewords: npt.NDArray[np.int8]
    cell_shares: FloatArray
    energy_score_threshold: float | None
    digital_power_share: PowerShare
    high_snr_digital_power_share: PowerShare
    analog_scale: float
    offsets: FloatArray | None = None

    @classmethod
    def without_cells(cls, mean: FloatArray, projection: FloatArray, *, analog_scale: float) -> Codebook:
        """A code that sends every image as its analog part alone, of as many reals as features have."""
        dim = len(mean)
        return cls(
            mean=mean,
            projection=projection,
            centroids=np.empty((0, dim), np.float32),
            codewords=np.empty((0, dim), np.int8),
            cell_shares=np.empty(0, np.float32),
            energy_score_threshold=None,
            digital_power_share=0.0,
            high_snr_digital_power_share=0.0,
            analog_scale=analog_scale,
        )

    def __post_init__(self) -> None:
        self._check_shapes()
        self._check_power_shares()
        numbers = (self.mean, self.projection, self.centroids, self.cell_shares)
        optional = (self.energy_score_threshold, self.offsets)
        if not all(np.isfinite(values).all() for values in (*numbers, *optional) if values is not None):
            raise ModelSetError("codebook: holds values that are not finite")
        if not (self.cell_shares > 0).all() or not 0.0 < self.analog_scale < np.inf:
            raise ModelSetError("codebook: cell shares and the analog scale must be positive")

    def _check_shapes(self) -> None:
        shapes = {name: getattr(self, name).shape for name in ("mean", "projection", "centroids", "codewords")}
        cells, dim = self.centroids.shape if self.centroids.ndim == 2 else (0, 0)
        code_dim = self.codewords.shape[1] if self.codewords.ndim == 2 else 0
        analog_dim = self.projection.shape[1] if self.projection.ndim == 2 else 0
        wanted = {
            "mean": (self.mean.size,),
            "projection": (self.mean.size, analog_dim),
            "centroids": (cells, dim),
            "codewords": (cells, code_dim),
        }
        decides = dim in (self.mean.size, analog_dim)
        fits = shapes == wanted and decides and 0 < analog_dim <= code_dim <= LATENT_DIM
        per_cell = [self.cell_shares] + ([] if self.offsets is None else [self.offsets])
        if not fits or any(values.shape != (cells,) for values in per_cell):
            raise ModelSetError(
                f"codebook: shapes do not fit together: {shapes} with {[values.shape for values in per_cell]} per cell"
            )

    def _check_power_shares(self) -> None:
        for name in ("digital_power_share", "high_snr_digital_power_share"):
            share = np.asarray(getattr(self, name))
            is_valid = (share > 0.0) & (share <= 1.0) if self.has_cells else share == 0.0
            if not (share.shape in ((), (self.code_dim,)) and is_valid.all()):
                bounds = "in (0, 1]" if self.has_cells else "0 in a code without cells"
                raise ModelSetError(
                    f"codebook: {name} must be {bounds}, one or one for each real, got {np.unique(share)[:4].tolist()}"
                    f" of shape {share.shape}"
                )
        if not self.has_cells and self.energy_score_threshold is not None:
            raise ModelSetError("codebook: a code without cells has no energy threshold")

    @property
    def feature_dim(self) -> int:
        """Length of the features."""
        return len(self.mean)

    @property
    def decides_by_projection(self) -> bool:
        """Whether a cell is decided by the projected direction, and not by the direction."""
        return bool(self.centroids.shape[1] != self.feature_dim)

    @property
    def code_dim(self) -> int:
        """Length of the codewords; longer codes repeat them."""
        return int(self.codewords.shape[1])

    @property
    def num_cells(self) -> int:
        """Number of codewords."""
        return len(self.centroids)

    @property
    def has_cells(self) -> bool:
        """Whether there are codewords; without, every image is sent as its analog part alone."""
        return self.num_cells > 0

    @property
    def has_high_snr_code(self) -> bool:
        """Whether the power share differs for a receiver that reports a high SNR."""
        return bool(np.any(np.not_equal(self.high_snr_digital_power_share, self.digital_power_share)))

    def for_high_snr(self) -> Codebook:
        """The code for a receiver that reports a high SNR."""
        return replace(self, digital_power_share=self.high_snr_digital_power_share)

    def directions(self, features: FloatArray) -> FloatArray:
        """Centred features of unit length, (batch, feature_dim).

        Raises
        ------
        EngineError
            If features have another width, are not finite, or equal the mean.
        """
        if features.ndim != 2 or features.shape[1] != self.feature_dim:
            raise EngineError(f"features must be (batch, {self.feature_dim}), got {features.shape}")
        centred = features - self.mean
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise EngineError("features must be finite, and differ from the codebook's mean")
        return np.asarray(centred / lengths, dtype=np.float32)

    def analog(self, directions: FloatArray) -> FloatArray:
        """The analog part of a code, scaled to the mean power of a codeword; (batch, code_dim)."""
        projected = np.asarray(self.analog_scale * (directions @ self.projection), dtype=np.float32)
        return repeat(projected, self.code_dim)

    def cells(self, directions: FloatArray) -> npt.NDArray[np.int64]:
        """The cell of each direction, (batch,) int64; of a code that has cells."""
        return np.asarray(self._scores(directions).argmax(axis=1), dtype=np.int64)

    def _scores(self, directions: FloatArray) -> FloatArray:
        points = directions @ self.projection if self.decides_by_projection else directions
        scores = np.asarray(points @ self.centroids.T, dtype=np.float32)
        return scores if self.offsets is None else scores + self.offsets

    def energy_score(self, similarity: FloatArray) -> FloatArray:
        """Log-sum-exp of the similarities to all cells: high if close to one cell or moderately close to many.

        Source: Liu, Wang, Owens, Li, "Energy-based out-of-distribution detection", NeurIPS 2020.

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

        Reference in numpy of the transmitter's graph (`engines.graphs.nested`).
        """
        directions = self.directions(features)
        analog = self.analog(directions)
        if not self.has_cells:
            return repeat(analog)
        scores = self._scores(directions)
        hybrid = self.superpose(self.codewords[scores.argmax(axis=1)], analog)
        if self.energy_score_threshold is None:
            return repeat(hybrid)
        sends_codeword = self.energy_score(scores) >= self.energy_score_threshold
        return repeat(np.where(sends_codeword[:, None], hybrid, analog))

    def superpose(self, codewords: npt.NDArray[np.int8], analog: FloatArray) -> FloatArray:
        """Superpose codewords and analog part, both (batch, code_dim), each with its share of the power."""
        share = self.digital_power_share
        return np.asarray(share**0.5 * codewords + (1.0 - share) ** 0.5 * analog, dtype=np.float32)

    def to_bytes(self) -> bytes:
        """The codebook of a training set as an .npz file, the same bytes for the same numbers.

        Matrices are in fp16, signs in bits.
        """
        buffer = io.BytesIO()
        values: dict[str, Any] = {stored: np.asarray(getattr(self, name)) for name, stored in _STORED_AS.items()}
        if self.energy_score_threshold is None:
            del values[_STORED_AS["energy_score_threshold"]]
        for name in ("projection", "centroids"):
            values[name] = values[name].astype(np.float16)
        values["codewords"] = packed(self.codewords)
        np.savez(buffer, **values)
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path) -> Codebook:
        """Read a codebook; ModelSetError if the file is missing, cut short, or not a codebook."""
        stored = load_arrays(path, tuple(_STORED_AS.values()), what="a codebook", optional=_OPTIONAL)
        values = {name: stored[key] for name, key in _STORED_AS.items() if key in stored}
        threshold = values.get("energy_score_threshold")
        try:
            mean = values["mean"].astype(np.float32)
            return cls(
                mean=mean,
                projection=values["projection"].astype(np.float32),
                centroids=values["centroids"].astype(np.float32),
                codewords=signs(values["codewords"], num_reals=mean.size),
                cell_shares=values["cell_shares"].astype(np.float32),
                energy_score_threshold=None if threshold is None else float(threshold),
                digital_power_share=float(values["digital_power_share"]),
                high_snr_digital_power_share=float(
                    values.get("high_snr_digital_power_share", values["digital_power_share"])
                ),
                analog_scale=float(values["analog_scale"]),
            )
        except (TypeError, ValueError):
            raise ModelSetError(f"{path}: does not hold a codebook: not numbers where there should be") from None
