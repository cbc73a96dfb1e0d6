"""Links whose receiver compares signals: MAP detection of `nested` codes, codeword search of `index`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from edge_rx.codebook.make import make_codebook
from edge_rx.decoders.codeword_search import CodewordSearch
from edge_rx.decoders.detectors import nested_detectors, network_detectors
from edge_rx.decoders.neighbour_accuracy import neighbour_accuracies
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.ranking import SymbolSearch
from edge_rx.kb.codebook_cells import entry_cells
from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from engines.models.entry_codebook import EntryCodebook, LabelChoice, entry_codewords
from engines.models.projection_head import ProjectionHead
from semlink.iq import normalize_power, pair_latent
from semlink.rates import Rate
from trainer.codecs.nested import NestedModel
from trainer.links.base import Link, LinkInputs, MakeLink
from trainer.links.conditions import LinkConditions
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_ranked
from trainer.links.transmission import transmit_and_equalize

__all__ = ["SignalLink", "index_links", "nested_links"]

_NEAREST = DecoderOptions(answer="nearest")


@dataclass(frozen=True, eq=False)
class SignalLink(Link):
    """A codec at one rate, with the detector that its receiver has for one knowledge base.

    Attributes
    ----------
    encode : features (batch, feature_dim) -> latent (batch, 2 n or more)
    search : symbols -> entries
    is_label_known : whether the receiver's entries have labels, of which its confidence then is
    """

    rate: Rate
    encode: Callable[[FloatArray], FloatArray]
    search: SymbolSearch
    is_label_known: bool = True

    @classmethod
    def nested(
        cls,
        codebook: Codebook,
        rate: Rate,
        noiseless: NoiselessRetrieval,
        *,
        projection: ProjectionHead | None = None,
        receiver: DecoderOptions = _NEAREST,
    ) -> SignalLink:
        """`nested`: the transmitter does not know the knowledge base.

        With `projection` it is `nested-labels` or `label`: both ends work on projected features, and the
        receiver knows its entries' labels.
        """
        project = projection.project_images if projection else np.asarray
        vectors, labels = _entry_vectors(noiseless, projection), noiseless.kb_labels.tolist()
        (detectors,) = nested_detectors([codebook], vectors, labels, [rate], receiver, are_features=projection is None)
        return cls(rate, lambda features: codebook.latent(project(features)), detectors[rate])

    @classmethod
    def index(
        cls,
        rate: Rate,
        noiseless: NoiselessRetrieval,
        *,
        seed: int,
        projection: ProjectionHead | None = None,
        receiver: DecoderOptions = _NEAREST,
    ) -> SignalLink:
        """`index`: the transmitter holds the vectors of the knowledge base and sends the nearest entry's codeword.

        With `projection` it is `index-labels`: the nearest entry is that of the projected features. To answer with
        labels, the transmitter of `index` decides the label first. The seed stands for the knowledge base's
        fingerprint, from which both ends draw the codewords.
        """
        project = projection.project_images if projection else np.asarray
        fingerprint = b"seed %d" % seed
        vectors, labels = _entry_vectors(noiseless, projection), noiseless.kb_labels.tolist()
        choice: LabelChoice | None = None
        # Projected vectors of entries know their labels, and say nothing of images.
        accuracies: Callable[[], FloatArray] | None = None
        if projection is None:
            accuracies = partial(neighbour_accuracies, vectors, labels)
        if receiver.answer == "label" and projection is None:
            choice, accuracies = _label_choice(vectors, labels, seed)
        entries = EntryCodebook.of(vectors, fingerprint, space="", choice=choice)
        search = CodewordSearch(fingerprint, len(noiseless.index), rate, accuracies=accuracies)
        return cls(
            rate, lambda features: entry_codewords(fingerprint, entries.nearest(project(features)), rate), search
        )

    @classmethod
    def network(
        cls,
        encode: Callable[[FloatArray], FloatArray],
        rate: Rate,
        noiseless: NoiselessRetrieval,
        receiver: DecoderOptions,
    ) -> SignalLink:
        """`kbsc` with a receiver that compares with the signals of its entries, in place of the decoder network."""
        search = network_detectors(encode, noiseless.kb_features, noiseless.kb_labels.tolist(), rate, receiver)
        return cls(rate, encode, search)

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every image as one stream, in order, and score the detected entries."""
        latent = self.encode(noiseless.features)[:, : self.rate.latent_dim]
        symbols, noise_variance = transmit_and_equalize(normalize_power(pair_latent(latent)), conditions, rng)
        ranked = self.search.ranked(symbols, noise_variance)
        return score_ranked(ranked, noiseless, is_label_known=self.is_label_known)


def nested_links(inputs: LinkInputs) -> MakeLink:
    """Links of `nested`, `nested-labels` and `label`, from a `NestedModel`."""

    def make(model: NestedModel, rate: Rate, seed: int) -> Link:
        return SignalLink.nested(
            model.codebook, rate, inputs.noiseless, projection=model.projection, receiver=inputs.receiver()
        )

    return make


def index_links(inputs: LinkInputs) -> MakeLink:
    """Links of `index`, without a model, and of `index-labels`, from the projection head of a `NestedModel`."""

    def make(model: NestedModel | None, rate: Rate, seed: int) -> Link:
        projection = model.projection if model else None
        return SignalLink.index(rate, inputs.noiseless, seed=seed, projection=projection, receiver=inputs.receiver())

    return make


def _label_choice(
    vectors: FloatArray, labels: list[str], seed: int
) -> tuple[LabelChoice | None, Callable[[], FloatArray]]:
    """What decides the label, and the accuracy of each entry as an answer."""
    codebook = make_codebook(vectors, labels, knowledge_base=bytes(32), space="0" * 64, seed=seed)
    cells = entry_cells(codebook, vectors, labels)
    choice = LabelChoice(codebook, cells.answered) if codebook.num_labelled_cells else None
    if choice is None:
        return None, partial(neighbour_accuracies, vectors, labels)
    return choice, partial(np.take, codebook.cell_accuracies, cells.coded)


def _entry_vectors(noiseless: NoiselessRetrieval, projection: ProjectionHead | None) -> FloatArray:
    """(m, dim) vectors by which the knowledge base is searched: its features, projected if there is a projection."""
    features = noiseless.kb_features
    return projection.project_entries(features, noiseless.kb_labels.tolist()) if projection else features
