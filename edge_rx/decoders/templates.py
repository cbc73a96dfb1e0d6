"""What each entry of a knowledge base would have sounded like, had an image like it been sent.

An entry has one key for the case that the sent image was unfamiliar to the code, and one for each of the
cells whose centroid it is among the nearest to, for the case that it was sent as that cell's codeword.
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
"""Entries that are held against all cells at a time."""


@dataclass(frozen=True)
class SignalPriors:
    """What the receiver assumes of images that it has not met.

    Chosen at 64 symbols on validation images of CIFAR-100, with digits, photographs and ImageNet views
    looked at beside them, so that strangers keep what `kbsc` has there.

    Attributes
    ----------
    familiar : probability that an image is sent as a codeword
    entries_per_cell : nearest entries that a cell's codeword may stand for
    sharpness : how much likelier the nearest of them is: e to this, for each unit of cosine
    agreement : correlation of an image's analog part with that of the entry that means the same
    """

    familiar: float = 0.9
    entries_per_cell: int = 4
    sharpness: float = 30.0
    agreement: float = 0.8


@dataclass(frozen=True, eq=False)
class SignalTemplates:
    """What each entry of a knowledge base would have sounded like, at the longest rate; shared by all rates.

    Attributes
    ----------
    keys : (keys, feature_dim) float32: codewords with analog parts, then analog parts alone
    scale : (keys,) float32, by how much a key's prefix of unit power is louder than it can be expected to match
    entries : (keys,) int64, whose key it is
    similarity : (keys,) float32, of the entry and what the key stands for: a cell's centroid, or the entry itself
    log_priors : (keys,) float64
    unexplained : variance of each real that is neither key nor noise
    vectors : (entries, feature_dim) float32 of one length, what entries are compared by
    """

    keys: FloatArray
    scale: FloatArray
    entries: npt.NDArray[np.int64]
    similarity: FloatArray
    log_priors: npt.NDArray[np.float64]
    unexplained: float
    vectors: FloatArray

    @classmethod
    def of(cls, codebook: Codebook, features: FloatArray, priors: SignalPriors | None = None) -> SignalTemplates:
        """Listen to every entry of (entries, feature_dim) float32 once; see `of_codes`."""
        return cls.of_codes([codebook], features, priors)[0]

    @classmethod
    def of_codes(
        cls, codebooks: Sequence[Codebook], features: FloatArray, priors: SignalPriors | None = None
    ) -> list[SignalTemplates]:
        """Listen by several codes that differ in how they share the power, and hold all but the keys together.

        Raises
        ------
        KnowledgeBaseError
            If there are no entries.
        EngineError
            If the features are not the codebook's.
        """
        if not len(features):
            raise KnowledgeBaseError("a knowledge base without entries answers nothing")
        priors = priors or SignalPriors()
        first, *_ = codebooks
        directions = first.directions(features)
        analog = first.analog(directions)
        cells, nearest, similarity, log_priors = _cell_entries(first, directions, priors)
        ones = np.ones(len(features), np.float32)
        analog_prior = np.log((1.0 - priors.familiar) / len(features))
        refinement = priors.agreement * analog[nearest]
        keys = [np.concatenate([code.superpose(code.codewords[cells], refinement), analog]) for code in codebooks]
        templates = cls(
            keys=keys[0],
            scale=np.concatenate([np.ones(len(cells), np.float32), priors.agreement * ones]),
            entries=np.concatenate([nearest, np.arange(len(features))]),
            similarity=np.concatenate([similarity, ones]),
            log_priors=np.concatenate([log_priors, np.full(len(features), analog_prior)]),
            unexplained=(1.0 - priors.agreement**2) / 2,
            vectors=analog,
        )
        return [replace(templates, keys=each) for each in keys]


def _cell_entries(
    codebook: Codebook, directions: FloatArray, priors: SignalPriors
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray, npt.NDArray[np.float64]]:
    """Which entries each cell's codeword may stand for, and how probable each such pair is.

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
    log_priors = log_weights + np.log(priors.familiar * codebook.cell_shares.astype(np.float64))[:, None]
    cells = np.repeat(np.arange(codebook.num_cells), best.shape[1])
    return cells, best_entries.ravel(), best.ravel(), log_priors.ravel()
