"""The codebook of a knowledge base that exists, made without its images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge_rx.codebook.knowledge_base import codebook_of, make_codebook_in
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.manifest import IMAGES_FOLDER, INDEX_FILE, MANIFEST_FILE, read_manifest
from engines.models.model_set import ModelSet
from semlink.errors import KnowledgeBaseError


def as_of_version_1(folder: Path) -> None:
    """What `kb build` made before it made codebooks."""
    manifest = json.loads((folder / MANIFEST_FILE).read_bytes())
    for entry in manifest.pop("codebooks"):
        (folder / entry["file"]).unlink()
    (folder / MANIFEST_FILE).write_text(json.dumps({**manifest, "format": 1}))


def test_a_knowledge_base_of_version_1_is_read_and_gets_one(kb_folder: Path, model_set: ModelSet) -> None:
    expected = read_manifest(kb_folder).codebooks[0].sha256
    as_of_version_1(kb_folder)
    shutil.rmtree(kb_folder / IMAGES_FOLDER)
    with KnowledgeBase.open(kb_folder, model_set.encoder_fingerprint) as knowledge_base:
        assert knowledge_base.codebooks() == []
        assert knowledge_base.manifest.format == 1
    shares: list[float] = []
    assert make_codebook_in(kb_folder, shares.append).sha256 == expected
    assert shares[-1] == 1.0
    with KnowledgeBase.open(kb_folder, model_set.encoder_fingerprint) as knowledge_base:
        assert knowledge_base.newest_codebook().sha256 == expected
        assert knowledge_base.manifest.format == 2


def test_it_is_made_of_vectors_and_labels(knowledge_base: KnowledgeBase) -> None:
    assert codebook_of(knowledge_base).sha256 == knowledge_base.newest_codebook().sha256


def test_no_knowledge_base(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeBaseError, match="not a knowledge base"):
        make_codebook_in(tmp_path / "none")
    with pytest.raises(KnowledgeBaseError, match="not a knowledge base"):
        make_codebook_in(tmp_path)


def test_a_damaged_knowledge_base_is_left_as_it_is(kb_folder: Path) -> None:
    (kb_folder / INDEX_FILE).unlink()
    before = sorted(path.name for path in kb_folder.iterdir())
    with pytest.raises(KnowledgeBaseError, match=r"index\.faiss: no such file"):
        make_codebook_in(kb_folder)
    assert sorted(path.name for path in kb_folder.iterdir()) == before
