"""Model sets with every kind of codec, and knowledge bases for them: what tests of both ends together share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")


from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import build_knowledge_base, labelled_folder
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from tests.support.link import CATEGORIES
from tests.support.model_sets import make_model_set


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    return make_model_set(tmp_path_factory.mktemp("models") / "all", nested=True, categories=CATEGORIES)


@pytest.fixture(scope="module")
def kb_folder(models: ModelSet, picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kb") / "KB"
    build_knowledge_base(labelled_folder(picture_folder), folder, ImageEncoder(models), codecs=models.codecs)
    return folder


@pytest.fixture
def kb(kb_folder: Path) -> Iterator[KnowledgeBase]:
    with KnowledgeBase.open(kb_folder) as knowledge_base:
        yield knowledge_base


@pytest.fixture(scope="module")
def high_snr_models(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    """A set whose `nested-cells` sends codewords, so that its two ways to share the power are two codes."""
    folder = tmp_path_factory.mktemp("models") / "high_snr_models"
    return make_model_set(folder, nested=True, sends_codeword=True, categories=CATEGORIES)


@pytest.fixture
def high_snr_kb(high_snr_models: ModelSet, picture_folder: Path, tmp_path: Path) -> Iterator[KnowledgeBase]:
    encoder = ImageEncoder(high_snr_models)
    build_knowledge_base(labelled_folder(picture_folder), tmp_path / "KB", encoder, codecs=high_snr_models.codecs)
    with KnowledgeBase.open(tmp_path / "KB") as knowledge_base:
        yield knowledge_base
