"""`adapted`: the code that the knowledge base makes of its own entries, with their labels or without."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache

from edge_rx.codebook.make import make_codebook
from edge_rx.decoders.adapted import AdaptedSignals
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.rates import Rate
from trainer.links.base import Link, LinkInputs, MakeLink
from trainer.links.signal_link import SignalLink

__all__ = ["adapted_links", "unlabelled_links"]

_FINGERPRINT = b"evaluated knowledge base".ljust(32)
_SPACE = "0" * 64
"""Stand for the fingerprints of knowledge base and encoder, which nothing here compares."""


def adapted_links(inputs: LinkInputs) -> MakeLink:
    """Links of `adapted`; the knowledge base's labels are known to it, and to the receiver."""
    return _make_link(inputs, inputs.noiseless.kb_labels.tolist())


def unlabelled_links(inputs: LinkInputs) -> MakeLink:
    """Links of `adapted-unlabelled`: the same over a knowledge base without labels."""
    return _make_link(inputs, [""] * len(inputs.noiseless.kb_labels))


def _make_link(inputs: LinkInputs, labels: Sequence[str]) -> MakeLink:
    features = inputs.noiseless.kb_features
    lock = threading.Lock()  # links of one seed and several rates share a codebook, and are made in threads

    @lru_cache
    def codebook(seed: int) -> tuple[KnowledgeBaseCodebook, AdaptedSignals]:
        made = make_codebook(features, labels, knowledge_base=_FINGERPRINT, space=_SPACE, seed=seed)
        return made, AdaptedSignals.of(made, features, labels)

    def make(_model: None, rate: Rate, seed: int) -> Link:
        with lock:
            made, signals = codebook(seed)
        search = signals.detectors([rate], inputs.receiver("label"))[rate]
        return SignalLink(rate, made.code.latent, search, is_label_known=any(labels))

    return make
