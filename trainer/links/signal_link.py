"""The link of the codecs that are decoded by comparing signals, `nested` and `index`, as a library call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.codeword_search import IndexSearch
from edge_rx.decoders.map_detector import NUM_CANDIDATES, RankedEntries, SignalSearch
from edge_rx.decoders.templates import EntrySounds
from edge_rx.noise import MIN_NOISE_VARIANCE, NoiseEstimator, undo_gain
from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from engines.models.entry_codebook import EntryKeys, entry_codewords
from engines.models.projection_head import KeyModel
from semlink.iq import Symbols, normalize_power, pair_latent
from semlink.rates import Rate
from trainer.links.graph_link import AirInterface, ReceiverKnowledge, over_the_air
from trainer.links.retrieval import CleanRetrieval, RetrievalScores, score_ranked

__all__ = ["SignalLink", "SymbolSearch", "hear"]


class SymbolSearch(Protocol):
    """Finds the entries to answer received symbols with."""

    def ranked(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> list[RankedEntries]:
        """See `edge_rx.decoders.map_detector.SignalSearch.ranked`."""
        ...


@dataclass(frozen=True, eq=False)
class SignalLink:
    """A codec at one rate, with what its receiver has made of one knowledge base.

    Attributes
    ----------
    transmit : features (batch, feature_dim) -> latent (batch, 2 n or more)
    search : symbols -> entries
    """

    name: str
    rate: Rate
    transmit: Callable[[FloatArray], FloatArray]
    search: SymbolSearch

    @classmethod
    def nested(
        cls,
        name: str,
        codebook: Codebook,
        rate: Rate,
        clean: CleanRetrieval,
        *,
        keys: KeyModel | None = None,
        num_candidates: int = NUM_CANDIDATES,
    ) -> SignalLink:
        """`nested`: the transmitter knows nothing of the knowledge base that `clean` retrieves from.

        With `keys` it is `nested-labels` or `label`: both ends look at keys in place of features, and the receiver
        knows its entries' labels.
        """
        seen = keys.of_images if keys else np.asarray
        sounds = EntrySounds.of(codebook, _entry_vectors(clean, keys))
        search = SignalSearch(sounds, rate, num_candidates=num_candidates)
        return cls(name, rate, lambda features: codebook.latent(seen(features)), search)

    @classmethod
    def index(cls, rate: Rate, clean: CleanRetrieval, *, seed: int, keys: KeyModel | None = None) -> SignalLink:
        """`index`: the transmitter holds the keys of that knowledge base; the seed stands for its fingerprint.

        With `keys` it is `index-labels`: which entry is nearest is decided in the space of keys.
        """
        seen = keys.of_images if keys else np.asarray
        fingerprint = b"seed %d" % seed
        held = EntryKeys.of(_entry_vectors(clean, keys), fingerprint, space="")
        search = IndexSearch(fingerprint, len(clean.index), rate)
        name = "index-labels" if keys else "index"
        return cls(
            name, rate, lambda features: entry_codewords(fingerprint, held.nearest(seen(features)), rate), search
        )

    def retrieve(self, clean: CleanRetrieval, air: AirInterface, rng: np.random.Generator) -> RetrievalScores:
        """Send every image as one stream, in order, and score what comes back."""
        latent = self.transmit(clean.features)[:, : self.rate.latent_dim]
        symbols, noise_variance = hear(normalize_power(pair_latent(latent)), air, rng)
        return score_ranked(self.search.ranked(symbols, noise_variance), clean)


def hear(
    sent: Symbols, air: AirInterface, rng: np.random.Generator, *, estimator: NoiseEstimator | None = None
) -> tuple[Symbols, npt.NDArray[np.float64]]:
    """Send images as one stream, in order, and undo the gain as `edge_rx.noise` does.

    Parameters
    ----------
    sent : (batch, n) complex64, of unit mean power in each row
    estimator : of the stream that these go on with; None begins one

    Returns
    -------
    symbols : (batch, n) complex64, gain undone
    noise_variance : (batch,) N0 of those symbols, as the receiver knows it
    """
    heard, gains = over_the_air(sent, air, rng)
    if air.knowledge is ReceiverKnowledge.GENIE:
        return _undo_known_gains(heard, gains)
    estimator = estimator or NoiseEstimator()
    undone = [undo_gain(image, num_pilots=air.num_pilots, estimator=estimator) for image in heard]
    return np.stack([data for data, _ in undone]), np.array([noise for _, noise in undone])


def _entry_vectors(clean: CleanRetrieval, keys: KeyModel | None) -> FloatArray:
    """What the knowledge base is searched by: its features, or its entries' keys."""
    features = clean.index.vectors(0, len(clean.index))
    return keys.of_entries(features, clean.kb_labels.tolist()) if keys else features


def _undo_known_gains(heard: Symbols, gains: Symbols) -> tuple[Symbols, npt.NDArray[np.float64]]:
    """Matched filter with every symbol's gain known; no receiver has them."""
    strength = np.mean(np.abs(gains) ** 2, axis=1, keepdims=True).astype(np.float64)
    excess = float(np.mean(np.abs(heard) ** 2) - np.mean(strength))
    symbols = np.asarray(heard * gains.conj() / strength, dtype=np.complex64)
    return symbols, max(excess, MIN_NOISE_VARIANCE) / strength[:, 0]
