"""A receiver's address, a fetcher on it, and two codebooks that suit the transmitter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_tx.codebook_fetcher import CodebookFetcher
from edge_tx.model import load_transmitter_model
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from semlink.feedback import ReportPublisher
from tests.support.codebooks import RATE, Load, small_codebook


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "codebooks"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks of a small codebook."""
    monkeypatch.setattr("semlink.codebook_chunks.CHUNK_BYTES", 1000)


@pytest.fixture
def codebook(model_set: ModelSet) -> KnowledgeBaseCodebook:
    return small_codebook(model_set.encoder_fingerprint)


@pytest.fixture
def newer(model_set: ModelSet) -> KnowledgeBaseCodebook:
    return small_codebook(model_set.encoder_fingerprint, seed=1)


@pytest.fixture
def load(model_set: ModelSet) -> Load:
    return lambda codebook: load_transmitter_model(model_set, RATE, codec=codebook)


@pytest.fixture
def publisher() -> Iterator[ReportPublisher]:
    with ReportPublisher("tcp://127.0.0.1:*") as bound:
        yield bound


@pytest.fixture
def fetcher(publisher: ReportPublisher, model_set: ModelSet, load: Load) -> Iterator[CodebookFetcher]:
    with CodebookFetcher(publisher.endpoint, model_set.encoder_fingerprint, load) as started:
        yield started
