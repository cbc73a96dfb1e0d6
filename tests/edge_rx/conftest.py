"""A knowledge base, and the receivers and the frames for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_rx.codebook.knowledge_base import codebook_of
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import build_knowledge_base, labelled_folder
from edge_rx.pipeline import Receiver
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from tests.support.frames import FrameMaker
from tests.support.model_sets import make_model_set


@pytest.fixture(scope="session")
def encoder(model_set: ModelSet) -> ImageEncoder:
    return ImageEncoder(model_set)


@pytest.fixture(scope="session")
def built_kb(tmp_path_factory: pytest.TempPathFactory, picture_folder: Path, encoder: ImageEncoder) -> Path:
    """A knowledge base of the pictures; not to be changed."""
    folder = tmp_path_factory.mktemp("kb") / "KB"
    build_knowledge_base(labelled_folder(picture_folder), folder, encoder, codebook_maker=codebook_of)
    return folder


@pytest.fixture
def kb_folder(tmp_path: Path, built_kb: Path) -> Path:
    """A copy of the knowledge base, to be damaged at will."""
    return Path(shutil.copytree(built_kb, tmp_path / "KB"))


@pytest.fixture
def knowledge_base(built_kb: Path, model_set: ModelSet) -> Iterator[KnowledgeBase]:
    with KnowledgeBase.open(built_kb, model_set.encoder_fingerprint) as opened:
        yield opened


@pytest.fixture
def decoders(model_set: ModelSet, knowledge_base: KnowledgeBase) -> Decoders:
    return Decoders.of(model_set, knowledge_base)


@pytest.fixture
def receiver(decoders: Decoders, knowledge_base: KnowledgeBase) -> Receiver:
    return Receiver(decoders, knowledge_base)


@pytest.fixture(scope="session")
def maker(model_set: ModelSet) -> FrameMaker:
    return FrameMaker(model_set)


@pytest.fixture(scope="module")
def every_codec(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    return make_model_set(tmp_path_factory.mktemp("every"), rates=(16, 64), nested=True)


@pytest.fixture
def every_decoder(every_codec: ModelSet, knowledge_base: KnowledgeBase) -> Decoders:
    return Decoders.of(every_codec, knowledge_base)


@pytest.fixture
def receivers(every_decoder: Decoders, knowledge_base: KnowledgeBase) -> tuple[Receiver, Receiver]:
    return Receiver(every_decoder, knowledge_base), Receiver(every_decoder, knowledge_base)
