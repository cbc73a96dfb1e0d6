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

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rx.kb.index import EntryIds, InnerProductIndex
from engines.arrays import FloatArray
from engines.codebook import Codebook, repeat
from semlink.errors import DecodeError, KnowledgeBaseError
from semlink.iq import Symbols, unpair_symbols
from semlink.rates import Rate

__all__ = ["EntrySounds", "SignalPriors", "SignalSearch", "require_sound"]

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
class EntrySounds:
    """What each entry of a knowledge base would have sounded like, at the longest rate; shared by all rates.

    Attributes
    ----------
    keys : (keys, feature_dim) float32: codewords with analog parts, then analog parts alone
    scale : (keys,) float32, by how much a key's prefix of unit power is louder than it can be expected to match
    entries : (keys,) int64, whose key it is
    similarity : (keys,) float32, of the entry and what the key stands for: a cell's centroid, or the entry itself
    log_priors : (keys,) float64
    unexplained : variance of each real that is neither key nor noise
    """

    keys: FloatArray
    scale: FloatArray
    entries: npt.NDArray[np.int64]
    similarity: FloatArray
    log_priors: npt.NDArray[np.float64]
    unexplained: float

    @classmethod
    def of(cls, codebook: Codebook, features: FloatArray, priors: SignalPriors | None = None) -> EntrySounds:
        """Listen to every entry of (entries, feature_dim) float32 once.

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
        directions = codebook.directions(features)
        analog = codebook.analog(directions)
        cells, nearest, similarity, log_priors = _cell_entries(codebook, directions, priors)
        familiar = codebook.superpose(codebook.codewords[cells], priors.agreement * analog[nearest])
        ones = np.ones(len(features), np.float32)
        unfamiliar_prior = np.log((1.0 - priors.familiar) / len(features))
        return cls(
            keys=np.concatenate([familiar, analog]),
            scale=np.concatenate([np.ones(len(cells), np.float32), priors.agreement * ones]),
            entries=np.concatenate([nearest, np.arange(len(features))]),
            similarity=np.concatenate([similarity, ones]),
            log_priors=np.concatenate([log_priors, np.full(len(features), unfamiliar_prior)]),
            unexplained=(1.0 - priors.agreement**2) / 2,
        )


class SignalSearch:
    """The keys of one knowledge base at one rate.

    Parameters
    ----------
    sounds : of that knowledge base
    rate : symbols of an image
    num_threads : CPU threads of a search
    """

    def __init__(self, sounds: EntrySounds, rate: Rate, *, num_threads: int = 1) -> None:
        self._entries, self._similarity, self._log_priors = sounds.entries, sounds.similarity, sounds.log_priors
        self._unexplained = sounds.unexplained
        self._dim, self._num_repeats = _folded(rate, sounds.keys.shape[1])
        # Only a rate of no whole number of repeats needs them written down.
        longest = sounds.keys if self._dim <= sounds.keys.shape[1] else repeat(sounds.keys)
        keys = _unit_power(longest[:, : self._dim]) * sounds.scale[:, None]
        self._half_energy = np.sum(keys**2, axis=1) / 2
        self._index = InnerProductIndex(self._dim + 2, num_threads=num_threads)
        self._index.add(np.column_stack([keys, self._half_energy, sounds.log_priors]).astype(np.float32))

    @classmethod
    def of_rates(cls, sounds: EntrySounds, rates: Sequence[Rate], *, num_threads: int = 1) -> dict[Rate, SignalSearch]:
        """One search for each rate; rates that repeat one code share its keys."""
        searches: dict[Rate, SignalSearch] = {}
        by_dim: dict[int, SignalSearch] = {}
        for rate in rates:
            dim, num_repeats = _folded(rate, sounds.keys.shape[1])
            if dim not in by_dim:
                by_dim[dim] = cls(sounds, rate, num_threads=num_threads)
            searches[rate] = by_dim[dim]._repeating(num_repeats)
        return searches

    def _repeating(self, num_repeats: int) -> SignalSearch:
        """The same keys for a rate that says them so often."""
        other = copy(self)
        other._num_repeats = num_repeats
        return other

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> FloatArray:
        """What to look for, (batch, dim + 2) float32.

        Parameters
        ----------
        symbols : (batch, n) complex64, gain undone
        noise_variance : (batch,) N0 of those symbols

        Raises
        ------
        DecodeError
            If the symbols are not this rate's, or a number is not finite.
        """
        require_sound(symbols, noise_variance, num_reals=self._num_repeats * self._dim)
        received = unpair_symbols(symbols).reshape(len(symbols), self._num_repeats, self._dim).mean(axis=1)
        # Of each real: half the noise, less by the repeats, and what an entry's key leaves unexplained.
        variance = np.asarray(noise_variance) / 2 / self._num_repeats + self._unexplained
        return np.column_stack([received, np.full_like(variance, -1.0), variance]).astype(np.float32)

    def search(
        self, symbols: Symbols, noise_variance: npt.NDArray[np.float64], *, num_matches: int
    ) -> tuple[EntryIds, FloatArray]:
        """Find the likeliest entries.

        Parameters
        ----------
        symbols, noise_variance : see `queries`
        num_matches : keys to give for each image; two keys may be of one entry

        Returns
        -------
        entry_ids : (batch, m) int64, best first
        log_likelihoods : (batch, m) float32, up to a constant of the image
        """
        queries = self.queries(symbols, noise_variance)
        keys, products = self._index.search(queries, num_matches=num_matches)
        return self._entries[keys], np.asarray(products / queries[:, -1:], dtype=np.float32)

    def match(self, query: FloatArray) -> tuple[int, float]:
        """The likeliest entry, and how alike what was heard and that entry are.

        Parameters
        ----------
        query : (1, dim + 2) float32, of `queries`

        Returns
        -------
        entry_id, score : the score estimates the cosine of the two images' centred features, -1 .. 1: the
            correlation of signal and key, which are of known power, times the similarity of entry and key
        """
        found, products = self._index.search(query, num_matches=1)
        key, variance = int(found[0, 0]), float(query[0, -1])
        half_energy = float(self._half_energy[key])
        product = float(products[0, 0]) + half_energy - variance * float(self._log_priors[key])
        correlation = product / float(np.sqrt(2 * half_energy * self._dim / 2))
        score = min(1.0, max(-1.0, correlation)) * float(self._similarity[key])
        return int(self._entries[key]), score


def _folded(rate: Rate, feature_dim: int) -> tuple[int, int]:
    """Reals of a rate's keys, and how often the rate repeats them: a whole number of times is averaged into one."""
    repeats, rest = divmod(rate.latent_dim, feature_dim)
    return (feature_dim, repeats) if repeats and not rest else (rate.latent_dim, 1)


def _unit_power(prefix: FloatArray) -> FloatArray:
    """Scale as the transmitter does: mean |x|^2 = 1, so half of it in each real."""
    lengths = np.linalg.norm(prefix, axis=1, keepdims=True)
    return np.asarray(prefix * np.sqrt(prefix.shape[1] / 2) / np.maximum(lengths, np.finfo(np.float32).tiny))


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
