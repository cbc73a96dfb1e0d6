"""Clustered features that stand for a labelled knowledge base, and the making of its codebook in a fresh process."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from edge_rx.codebook.make import make_codebook
from engines.models.arrays import FloatArray
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.machine import peak_resident_mb

__all__ = [
    "KNOWLEDGE_BASE",
    "NUM_LABELS",
    "MadeCodebook",
    "clustered_features",
    "codebook_in_fresh_process",
    "cyclic_labels",
]

NUM_LABELS = 100
KNOWLEDGE_BASE = bytes(32)
"""Stands for the fingerprint of a knowledge base, which no benchmark compares."""
_FEATURE_DIM = 512
_SPREAD = 0.8
"""Standard deviation within a label, of that between labels: features of one label have a cosine of 0.6."""


@dataclass(frozen=True)
class MadeCodebook:
    """A codebook that a process made.

    Attributes
    ----------
    content : the codebook's file
    duration_ms : from features in memory to the codebook
    features_mb : memory of the features
    peak_resident_mb : largest resident memory of the process, of which the features are a part
    """

    content: bytes
    duration_ms: float
    features_mb: float
    peak_resident_mb: float

    @property
    def codebook(self) -> KnowledgeBaseCodebook:
        """The codebook as a transmitter reads it."""
        return KnowledgeBaseCodebook.read(self.content, source="codebook of a fresh process")


def clustered_features(num_entries: int) -> FloatArray:
    """(num_entries, 512) float32 of unit length, those of `cyclic_labels` around one centre for each label.

    Fewer entries are the first ones of more. Nothing of the features' size is allocated besides them, so that a
    process's peak of memory is that of what follows.
    """
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((NUM_LABELS, _FEATURE_DIM), dtype=np.float32)
    features = rng.standard_normal((num_entries, _FEATURE_DIM), dtype=np.float32)
    features *= np.float32(_SPREAD)
    for label, centre in enumerate(centres):
        features[label::NUM_LABELS] += centre
    features /= np.sqrt(np.einsum("ij,ij->i", features, features))[:, None]
    return features


def cyclic_labels(num_entries: int, *, are_known: bool = True) -> list[str]:
    """Label of each entry, one after another; "" for each if they are not known."""
    return [f"label {entry % NUM_LABELS}" if are_known else "" for entry in range(num_entries)]


def codebook_in_fresh_process(num_entries: int, *, has_labels: bool, num_threads: int) -> MadeCodebook:
    """Start a process that makes features and then, timed, their codebook as `semlink kb make-codebook` does."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        return process.submit(_make, num_entries, has_labels, num_threads).result()


def _make(num_entries: int, has_labels: bool, num_threads: int) -> MadeCodebook:
    features, labels = clustered_features(num_entries), cyclic_labels(num_entries, are_known=has_labels)
    start = time.perf_counter()
    codebook = make_codebook(features, labels, knowledge_base=KNOWLEDGE_BASE, space="0" * 64, num_threads=num_threads)
    duration_ms = 1e3 * (time.perf_counter() - start)
    return MadeCodebook(codebook.content, duration_ms, features.nbytes / 2**20, peak_resident_mb())
