"""Links whose receiver compares signals: MAP detection of `nested` codes, codeword search of `index`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_rx.decoders.codeword_search import CodewordSearch
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.ranking import NUM_CANDIDATES, SymbolSearch
from edge_rx.decoders.templates import SignalTemplates
from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from engines.models.entry_codebook import EntryCodebook, entry_codewords
from engines.models.projection_head import ProjectionHead
from semlink.iq import normalize_power, pair_latent
from semlink.rates import Rate
from trainer.codecs.nested import NestedModel
from trainer.links.base import Link, LinkInputs, MakeLink
from trainer.links.conditions import LinkConditions
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_ranked
from trainer.links.transmission import transmit_and_equalize

__all__ = ["SignalLink", "index_links", "nested_links"]


@dataclass(frozen=True, eq=False)
class SignalLink(Link):
    """A codec at one rate, with the detector that its receiver has for one knowledge base.

    Attributes
    ----------
    encode : features (batch, feature_dim) -> latent (batch, 2 n or more)
    search : symbols -> entries
    """

    rate: Rate
    encode: Callable[[FloatArray], FloatArray]
    search: SymbolSearch

    @classmethod
    def nested(
        cls,
        codebook: Codebook,
        rate: Rate,
        noiseless: NoiselessRetrieval,
        *,
        projection: ProjectionHead | None = None,
        num_candidates: int = NUM_CANDIDATES,
    ) -> SignalLink:
        """`nested`: the transmitter does not know the knowledge base.

        With `projection` it is `nested-labels` or `label`: both ends work on projected features, and the
        receiver knows its entries' labels.
        """
        project = projection.project_images if projection else np.asarray
        templates = SignalTemplates.of(codebook, _entry_vectors(noiseless, projection))
        search = MapDetector(templates, rate, num_candidates=num_candidates)
        return cls(rate, lambda features: codebook.latent(project(features)), search)

    @classmethod
    def index(
        cls, rate: Rate, noiseless: NoiselessRetrieval, *, seed: int, projection: ProjectionHead | None = None
    ) -> SignalLink:
        """`index`: the transmitter holds the vectors of the knowledge base and sends the nearest entry's codeword.

        With `projection` it is `index-labels`: the nearest entry is that of the projected features. The seed
        stands for the knowledge base's fingerprint, from which both ends draw the codewords.
        """
        project = projection.project_images if projection else np.asarray
        fingerprint = b"seed %d" % seed
        entries = EntryCodebook.of(_entry_vectors(noiseless, projection), fingerprint, space="")
        search = CodewordSearch(fingerprint, len(noiseless.index), rate)
        return cls(
            rate, lambda features: entry_codewords(fingerprint, entries.nearest(project(features)), rate), search
        )

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every image as one stream, in order, and score the detected entries."""
        latent = self.encode(noiseless.features)[:, : self.rate.latent_dim]
        symbols, noise_variance = transmit_and_equalize(normalize_power(pair_latent(latent)), conditions, rng)
        return score_ranked(self.search.ranked(symbols, noise_variance), noiseless)


def nested_links(inputs: LinkInputs) -> MakeLink:
    """Links of `nested`, `nested-labels` and `label`, from a `NestedModel`."""

    def make(model: NestedModel, rate: Rate, seed: int) -> Link:
        return SignalLink.nested(model.codebook, rate, inputs.noiseless, projection=model.projection)

    return make


def index_links(inputs: LinkInputs) -> MakeLink:
    """Links of `index`, without a model, and of `index-labels`, from the projection head of a `NestedModel`."""

    def make(model: NestedModel | None, rate: Rate, seed: int) -> Link:
        projection = model.projection if model else None
        return SignalLink.index(rate, inputs.noiseless, seed=seed, projection=projection)

    return make


def _entry_vectors(noiseless: NoiselessRetrieval, projection: ProjectionHead | None) -> FloatArray:
    """(m, dim) vectors by which the knowledge base is searched: its features, projected if there is a projection."""
    features = noiseless.kb_features
    return projection.project_entries(features, noiseless.kb_labels.tolist()) if projection else features
