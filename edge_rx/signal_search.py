"""Retrieval by listening: find the entry that would most probably have sounded like this.

The receiver runs its own entries through the transmitter's code and keeps what each would have
sounded like. Received symbols are then compared with those keys, and the search for the largest
log-likelihood *is* the decoder: one inner product per key, one FAISS call.

    log p(y | key) = (y . key - |key|^2 / 2) / v,  v the variance of what is neither key nor known

One v for all keys, so that it stays one inner product: that of an unfamiliar image, whose analog part
is all that its key is about. A codeword explains more than that, so at high SNR its likelihood is
told flatter than it is; which key is the likeliest hardly changes.

An entry has one key for the case that the sent image was unfamiliar to the code, and one for each of
the cells whose centroid it is among the nearest to, for the case that it was sent as that cell's
codeword. Their priors enter through one more coordinate, so that the noise, which each image has of
its own, weighs them without the keys being touched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rx.kb.index import EntryIds, InnerProductIndex
from engines.arrays import FloatArray
from engines.codebook import Codebook, repeat
from semlink.errors import DecodeError, KnowledgeBaseError
from semlink.iq import Symbols, unpair_symbols
from semlink.rates import Rate

__all__ = ["SignalPriors", "SignalSearch", "require_sound"]

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


class SignalSearch:
    """The keys of one knowledge base at one rate.

    Parameters
    ----------
    codebook : the code that transmitters use
    rate : symbols of an image
    features : (entries, feature_dim) float32, of the knowledge base
    priors : see there
    num_threads : CPU threads of a search

    Raises
    ------
    KnowledgeBaseError
        If there are no entries.
    EngineError
        If the features are not the codebook's.
    """

    def __init__(
        self,
        codebook: Codebook,
        rate: Rate,
        features: FloatArray,
        *,
        priors: SignalPriors | None = None,
        num_threads: int = 1,
    ) -> None:
        if not len(features):
            raise KnowledgeBaseError("a knowledge base without entries answers nothing")
        self._priors = priors = priors or SignalPriors()
        # A code that repeats itself a whole number of times is averaged into one.
        repeats, rest = divmod(rate.latent_dim, codebook.feature_dim)
        self._num_repeats = repeats if repeats and not rest else 1
        self._dim = rate.latent_dim // self._num_repeats
        directions = codebook.directions(features)
        analog = codebook.analog(directions)
        cells, entries, log_priors = _cell_entries(codebook, directions, priors)
        familiar = self._unit_power(codebook.superpose(codebook.codewords[cells], priors.agreement * analog[entries]))
        unfamiliar = priors.agreement * self._unit_power(analog)
        unfamiliar_prior = np.log((1.0 - priors.familiar) / len(features))
        self._entries = np.concatenate([entries, np.arange(len(features))])
        keys = np.concatenate([familiar, unfamiliar])
        key_priors = np.concatenate([log_priors, np.full(len(features), unfamiliar_prior)])
        half_energy = np.sum(keys**2, axis=1) / 2
        self._index = InnerProductIndex(self._dim + 2, num_threads=num_threads)
        self._index.add(np.column_stack([keys, half_energy, key_priors]).astype(np.float32))

    def search(
        self, symbols: Symbols, noise_variance: npt.NDArray[np.float64], *, num_matches: int
    ) -> tuple[EntryIds, FloatArray]:
        """Find the likeliest entries.

        Parameters
        ----------
        symbols : (batch, n) complex64, gain undone
        noise_variance : (batch,) N0 of those symbols
        num_matches : keys to give for each image; two keys may be of one entry

        Returns
        -------
        entry_ids : (batch, m) int64, best first
        log_likelihoods : (batch, m) float32, up to a constant of the image

        Raises
        ------
        DecodeError
            If the symbols are not this rate's, or a number is not finite.
        """
        require_sound(symbols, noise_variance, num_reals=self._num_repeats * self._dim)
        received = unpair_symbols(symbols).reshape(len(symbols), self._num_repeats, self._dim).mean(axis=1)
        # Of each real: half the noise, less by the repeats, and what an entry's key leaves unexplained.
        unexplained = (1.0 - self._priors.agreement**2) / 2
        variance = (np.asarray(noise_variance) / 2 / self._num_repeats + unexplained)[:, None]
        queries = np.hstack([received, np.full_like(variance, -1.0), variance]).astype(np.float32)
        keys, scores = self._index.search(queries, num_matches=num_matches)
        return self._entries[keys], np.asarray(scores / variance, dtype=np.float32)

    def _unit_power(self, latent: FloatArray) -> FloatArray:
        """Cut to the rate and scale as the transmitter does: mean |x|^2 = 1, so half of it in each real."""
        prefix = repeat(latent)[:, : self._dim]
        lengths = np.linalg.norm(prefix, axis=1, keepdims=True)
        return np.asarray(prefix * np.sqrt(self._dim / 2) / np.maximum(lengths, np.finfo(np.float32).tiny))


def require_sound(symbols: Symbols, noise_variance: npt.NDArray[np.float64], *, num_reals: int) -> None:
    """Refuse what a search would answer with just any entry: other rates' symbols, NaN, and no noise at all."""
    if symbols.ndim != 2 or 2 * symbols.shape[1] != num_reals or noise_variance.shape != symbols.shape[:1]:
        raise DecodeError(
            f"symbols do not fit their rate: received {symbols.shape} with {noise_variance.shape} noise variances,"
            f" the keys are of {num_reals // 2} symbols"
        )
    if not (np.isfinite(symbols).all() and np.isfinite(noise_variance).all() and (noise_variance > 0).all()):
        raise DecodeError("symbols cannot be weighed: they, or their noise variance, are not finite and positive")


def _cell_entries(
    codebook: Codebook, directions: FloatArray, priors: SignalPriors
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Which entries each cell's codeword may stand for, and how probable each such pair is.

    Returns
    -------
    cells, entries : (cells * m,) int64
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
    return cells, best_entries.ravel(), log_priors.ravel()
