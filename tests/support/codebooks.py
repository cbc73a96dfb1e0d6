"""Codebooks of made-up knowledge bases, from random numbers, and a receiver that publishes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edge_tx.model import GraphModel
from engines.models.codebook import Codebook
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.codebook_chunks import CodebookChunk
from semlink.feedback import ReportPublisher
from semlink.rates import parse_rate
from tests.support.deadlines import wait_until
from tests.support.vectors import unit

KNOWLEDGE_BASE = bytes(range(32))
SPACE = "ab" * 32
RATE = parse_rate("64")

Load = Callable[[KnowledgeBaseCodebook], GraphModel]
"""Loads the model of a codebook."""


def small_code(
    dim: int = 16, *, code_dim: int = 64, analog_dim: int = 10, seed: int = 0, decides_by_projection: bool = False
) -> Codebook:
    """A code with all that those of knowledge bases have: offsets, a repeated analog part, power shares by real."""
    rng = np.random.default_rng(seed)
    num_cells = 6
    shares = np.full(code_dim, 0.7, np.float32)
    shares[: code_dim // 4] = 0.95
    return Codebook(
        mean=0.1 * unit(rng.standard_normal((1, dim)))[0],
        projection=(2.0 * rng.standard_normal((dim, analog_dim))).astype(np.float32),
        centroids=unit(rng.standard_normal((num_cells, analog_dim if decides_by_projection else dim))),
        codewords=rng.choice(np.array([-1, 1], np.int8), (num_cells, code_dim)),
        cell_shares=np.full(num_cells, 1 / num_cells, np.float32),
        energy_score_threshold=None,
        digital_power_share=shares,
        high_snr_digital_power_share=np.full(code_dim, 0.5, np.float32),
        analog_scale=1.5,
        offsets=(0.3 * rng.standard_normal(num_cells)).astype(np.float32),
    )


def small_codebook(space: str = SPACE, *, dim: int = 16, seed: int = 0) -> KnowledgeBaseCodebook:
    """A codebook for the image encoder of the fingerprint `space`; another seed, another codebook."""
    return KnowledgeBaseCodebook.of(
        small_code(dim, seed=seed),
        cell_labels=["apple", "boat", "cat", "", "", "dog"],
        cell_accuracies=np.array([0.9, 0.8, 0.7, 1.0, 1.0, 0.6], np.float32),
        agreement=0.8,
        knowledge_base=KNOWLEDGE_BASE,
        space=space,
    )


def serve(publisher: ReportPublisher, chunks: Sequence[CodebookChunk], until: Callable[[], object]) -> None:
    """Publish chunks in turn, as a receiver does, until something holds."""
    wait_until(lambda: publisher.is_codebook_wanted)

    def holds() -> bool:
        for chunk in chunks:
            publisher.publish_chunk(chunk)
        return bool(until())

    wait_until(holds)
