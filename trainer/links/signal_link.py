"""The link of the codecs that are decoded by comparing signals, `nested` and `index`, as a library call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.codeword_search import CodewordSearch
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.ranking import NUM_CANDIDATES, RankedEntries
from edge_rx.decoders.templates import SignalTemplates
from edge_rx.noise import MIN_NOISE_VARIANCE, NoiseEstimator, equalize_and_estimate
from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from engines.models.entry_codebook import EntryCodebook, entry_codewords
from engines.models.projection_head import ProjectionHead
from semlink.iq import Symbols, normalize_power, pair_latent
from semlink.rates import Rate
from trainer.links.graph_link import Csi, LinkConditions, transmit
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_ranked

__all__ = ["SignalLink", "SymbolSearch", "transmit_and_equalize"]


class SymbolSearch(Protocol):
    """Finds the entries to answer received symbols with."""

    def ranked(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> list[RankedEntries]:
        """See `edge_rx.decoders.map_detector.MapDetector.ranked`."""
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
        noiseless: NoiselessRetrieval,
        *,
        projection: ProjectionHead | None = None,
        num_candidates: int = NUM_CANDIDATES,
    ) -> SignalLink:
        """`nested`: the transmitter knows nothing of the knowledge base that `clean` retrieves from.

        With `keys` it is `nested-labels` or `label`: both ends look at keys in place of features, and the receiver
        knows its entries' labels.
        """
        seen = projection.project_images if projection else np.asarray
        templates = SignalTemplates.of(codebook, _entry_vectors(noiseless, projection))
        search = MapDetector(templates, rate, num_candidates=num_candidates)
        return cls(name, rate, lambda features: codebook.latent(seen(features)), search)

    @classmethod
    def index(
        cls, rate: Rate, noiseless: NoiselessRetrieval, *, seed: int, projection: ProjectionHead | None = None
    ) -> SignalLink:
        """`index`: the transmitter holds the keys of that knowledge base; the seed stands for its fingerprint.

        With `keys` it is `index-labels`: which entry is nearest is decided in the space of keys.
        """
        seen = projection.project_images if projection else np.asarray
        fingerprint = b"seed %d" % seed
        held = EntryCodebook.of(_entry_vectors(noiseless, projection), fingerprint, space="")
        search = CodewordSearch(fingerprint, len(noiseless.index), rate)
        name = "index-labels" if projection else "index"
        return cls(
            name, rate, lambda features: entry_codewords(fingerprint, held.nearest(seen(features)), rate), search
        )

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every image as one stream, in order, and score what comes back."""
        latent = self.transmit(noiseless.features)[:, : self.rate.latent_dim]
        symbols, noise_variance = transmit_and_equalize(normalize_power(pair_latent(latent)), conditions, rng)
        return score_ranked(self.search.ranked(symbols, noise_variance), noiseless)


def transmit_and_equalize(
    sent: Symbols, conditions: LinkConditions, rng: np.random.Generator, *, estimator: NoiseEstimator | None = None
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
    observation, gains = transmit(sent, conditions, rng)
    if conditions.csi is Csi.GENIE:
        return _zero_forcing_with_known_gains(observation, gains)
    estimator = estimator or NoiseEstimator()
    equalized = [
        equalize_and_estimate(image, num_pilots=conditions.num_pilots, estimator=estimator) for image in observation
    ]
    return np.stack([data for data, _ in equalized]), np.array([noise for _, noise in equalized])


def _entry_vectors(noiseless: NoiselessRetrieval, projection: ProjectionHead | None) -> FloatArray:
    """What the knowledge base is searched by: its features, or its entries' keys."""
    features = noiseless.index.vectors(0, len(noiseless.index))
    return projection.project_entries(features, noiseless.kb_labels.tolist()) if projection else features


def _zero_forcing_with_known_gains(observation: Symbols, gains: Symbols) -> tuple[Symbols, npt.NDArray[np.float64]]:
    """Matched filter with every symbol's gain known; no receiver has them."""
    strength = np.mean(np.abs(gains) ** 2, axis=1, keepdims=True).astype(np.float64)
    excess = float(np.mean(np.abs(observation) ** 2) - np.mean(strength))
    symbols = np.asarray(observation * gains.conj() / strength, dtype=np.complex64)
    return symbols, max(excess, MIN_NOISE_VARIANCE) / strength[:, 0]
