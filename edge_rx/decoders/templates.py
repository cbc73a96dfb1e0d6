"""Noise-free signal of every KB entry (matched-filter templates), with priors for MAP detection.

An entry has one signal for each cell whose centroid it is among the nearest to, for images that are sent as that cell's
codeword, and one for images that are sent without a codeword: those whose energy score is below the threshold, or all
images if the code has no cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from semlink.errors import KnowledgeBaseError

__all__ = ["SignalPriors", "SignalTemplates"]

_BLOCK = 4096
"""Entries that are compared with all cells at a time."""


@dataclass(frozen=True)
class SignalPriors:
    """Priors of the receiver for images that are sent.

    Chosen at 64 symbols on validation images of CIFAR-100, so that digits, photographs and views of ImageNet images,
    which were evaluated beside them, keep the accuracy of `kbsc`.

    Attributes
    ----------
    codeword_prior : probability that an image is sent as a codeword, by a code that has cells
    entries_per_cell : number of nearest entries that a cell's codeword may represent
    sharpness : log-prior of these entries per unit of cosine similarity to the centroid
    agreement : correlation of an image's analog part with that of the entry of the same meaning
    """

    codeword_prior: float = 0.9
    entries_per_cell: int = 4
    sharpness: float = 30.0
    agreement: float = 0.8


@dataclass(frozen=True, eq=False)
class SignalTemplates:
    """Noise-free signals of a knowledge base's entries at the longest rate; shared by all rates.

    Attributes
    ----------
    signals : (signals, code_dim) float32: codewords with analog parts if the code has any, then analog parts alone if
        it sends them
    correlation : (signals,) float32, expected correlation of a received prefix of unit power with the signal's; None
        if it is what the unexplained variance leaves
    entries : (signals,) int64, entry of each signal
    similarity : (signals,) float32, cosine of the entry and the origin of the signal: a cell's centroid, or the entry
    log_priors : (signals,) float64
    residual_variance : variance that is neither signal nor noise, of each real (code_dim,) or of all
    vectors : (entries, dim) float32 of similar length, by which entries are compared
    groups : (entries,) int64, such as the entries' labels: an answer is of the most probable group. None for the most
        probable entry
    """

    signals: FloatArray
    correlation: FloatArray | None
    entries: npt.NDArray[np.int64]
    similarity: FloatArray
    log_priors: npt.NDArray[np.float64]
    residual_variance: float | FloatArray
    vectors: FloatArray
    groups: npt.NDArray[np.int64] | None = None

    def unexplained(self, dim: int) -> float:
        """Mean variance of the first `dim` reals that is neither signal nor noise."""
        return float(np.mean(np.atleast_1d(self.residual_variance)[:dim]))

    def scale(self, dim: int) -> FloatArray:
        """Expected correlation of a received prefix of `dim` reals and unit power with each signal's, (signals,)."""
        if self.correlation is not None:
            return self.correlation
        # A real has a mean square of one half, of which the unexplained variance is a part.
        return np.full(len(self.signals), np.sqrt(1.0 - 2.0 * self.unexplained(dim)), np.float32)

    @classmethod
    def of(
        cls,
        codebook: Codebook,
        features: FloatArray,
        priors: SignalPriors | None = None,
        *,
        groups: npt.NDArray[np.int64] | None = None,
    ) -> SignalTemplates:
        """Compute the signals of (entries, feature_dim) float32 vectors with one code; see `of_codes`."""
        return cls.of_codes([codebook], features, priors, groups=groups)[0]

    @classmethod
    def of_codes(
        cls,
        codebooks: Sequence[Codebook],
        features: FloatArray,
        priors: SignalPriors | None = None,
        *,
        groups: npt.NDArray[np.int64] | None = None,
    ) -> list[SignalTemplates]:
        """Compute the signals with several codes that differ in their power share; all but the signals is shared.

        Parameters
        ----------
        groups : see the attribute

        Raises
        ------
        KnowledgeBaseError
            If there are no entries.
        EngineError
            If the features have another width than the codebook.
        """
        _require_entries(features)
        priors = priors or SignalPriors()
        first, *_ = codebooks
        directions = first.directions(features)
        analog = first.analog(directions)
        num_entries = len(features)
        alone = cls(
            signals=analog,
            correlation=np.full(num_entries, priors.agreement, np.float32),
            entries=np.arange(num_entries),
            similarity=np.ones(num_entries, np.float32),
            log_priors=np.full(num_entries, -np.log(num_entries)),
            residual_variance=(1.0 - priors.agreement**2) / 2,
            vectors=analog,
            groups=groups,
        )
        if not first.has_cells:
            return [alone] * len(codebooks)
        cells, nearest, similarity, log_priors = _cell_entries(first, directions, priors)
        templates = replace(
            alone,
            correlation=np.concatenate([np.ones(len(cells), np.float32), alone.correlation]),
            entries=np.concatenate([nearest, alone.entries]),
            similarity=np.concatenate([similarity, alone.similarity]),
            log_priors=np.concatenate([log_priors, alone.log_priors + np.log(1.0 - priors.codeword_prior)]),
        )
        refinement = priors.agreement * analog[nearest]
        signals = [np.concatenate([code.superpose(code.codewords[cells], refinement), analog]) for code in codebooks]
        return [replace(templates, signals=each) for each in signals]

    @classmethod
    def of_cells(
        cls,
        code: Codebook,
        features: FloatArray,
        cells: npt.NDArray[np.int64],
        *,
        agreement: float,
        groups: npt.NDArray[np.int64] | None = None,
    ) -> SignalTemplates:
        """Compute the signals of entries that have a cell each: a codebook that was made of the knowledge base.

        Parameters
        ----------
        features : (entries, feature_dim) float32
        cells : (entries,) int64, cell of each entry
        agreement : correlation of an image's analog part with that of the nearest entry
        groups : see the attribute

        Raises
        ------
        KnowledgeBaseError, EngineError
            As `of_codes` does.
        """
        _require_entries(features)
        directions = code.directions(features)
        analog_share = 1.0 - np.asarray(code.digital_power_share)
        return cls(
            signals=code.superpose(code.codewords[cells], agreement * code.analog(directions)),
            correlation=None,
            entries=np.arange(len(features)),
            similarity=np.ones(len(features), np.float32),
            log_priors=np.full(len(features), -np.log(len(features))),
            residual_variance=np.asarray(analog_share * (1.0 - agreement**2) / 2, dtype=np.float32),
            vectors=directions,
            groups=groups,
        )

    @classmethod
    def of_signals(
        cls, signals: FloatArray, features: FloatArray, *, agreement: float, groups: npt.NDArray[np.int64] | None = None
    ) -> SignalTemplates:
        """The signals that an encoder network makes of the entries, (entries, dim) float32; see `of_cells`."""
        _require_entries(features)
        return cls(
            signals=signals,
            correlation=np.full(len(signals), agreement, np.float32),
            entries=np.arange(len(signals)),
            similarity=np.ones(len(signals), np.float32),
            log_priors=np.full(len(signals), -np.log(len(signals))),
            residual_variance=(1.0 - agreement**2) / 2,
            vectors=features,
            groups=groups,
        )


def _require_entries(features: FloatArray) -> None:
    if not len(features):
        raise KnowledgeBaseError("a knowledge base without entries answers nothing")


def _cell_entries(
    codebook: Codebook, directions: FloatArray, priors: SignalPriors
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray, npt.NDArray[np.float64]]:
    """The entries that each cell's codeword may represent, and the prior of each pair.

    Returns
    -------
    cells, entries : (cells * m,) int64
    similarity : (cells * m,) float32, cosine of centroid and entry
    log_priors : (cells * m,) float64
    """
    best = np.empty((codebook.num_cells, 0), np.float32)
    best_entries = np.empty((codebook.num_cells, 0), np.int64)
    for start in range(0, len(directions), _BLOCK):
        block = directions[start : start + _BLOCK]
        similarity = np.hstack([best, codebook.centroids @ block.T])
        candidates = np.hstack(
            [best_entries, np.broadcast_to(np.arange(start, start + len(block)), (codebook.num_cells, len(block)))]
        )
        chosen = np.argsort(-similarity, axis=1, kind="stable")[:, : priors.entries_per_cell]
        best = np.take_along_axis(similarity, chosen, axis=1)
        best_entries = np.take_along_axis(candidates, chosen, axis=1)
    scores = priors.sharpness * best.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    log_weights = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    log_priors = log_weights + np.log(priors.codeword_prior * codebook.cell_shares.astype(np.float64))[:, None]
    cells = np.repeat(np.arange(codebook.num_cells), best.shape[1])
    return cells, best_entries.ravel(), best.ravel(), log_priors.ravel()
