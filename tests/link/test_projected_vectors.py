"""Projected vectors and entry codebooks: bound to their models and knowledge base, and refused elsewhere."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")


from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.index import FlatIndex
from edge_rx.kb.project import project_knowledge_base
from edge_rx.pipeline import Receiver
from edge_tx.model import load_index_model, load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.models.entry_codebook import EntryCodebook
from engines.models.model_set import ModelSet
from engines.models.projection_head import save_proxies
from semlink.errors import ConfigError, KnowledgeBaseError, ModelSetError
from semlink.files import file_sha256
from semlink.image import RGBImage
from tests.support.link import CATEGORIES, RATE, answers


def test_one_pilot_is_a_rejected_frame(models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage]) -> None:
    """Of a transmitter that does not know better; ours refuses."""
    receiver = Receiver(Decoders.of(models, kb), kb)
    model = load_transmitter_model(models, RATE, codec="nested")
    with pytest.raises(ConfigError, match="send none, or at least 2"):
        Transmitter(model, RATE, lambda data: None, num_pilots=1)
    careless = dataclasses.replace(model, weighs_noise=False)
    assert answers(careless, RATE, receiver, pictures, num_pilots=1) == [None] * 12
    assert receiver.rejected == {"one pilot cannot separate gain and noise": 12}


def test_codec_without_projected_vectors_in_the_knowledge_base_is_not_served(
    models: ModelSet, kb_folder: Path, tmp_path: Path, pictures: dict[str, RGBImage]
) -> None:
    """Until the knowledge base is given them; nothing else of it changes."""
    folder = Path(shutil.copytree(kb_folder, tmp_path / "KB"))
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["keys"]:
        (folder / entry["file"]).unlink()
    (folder / "manifest.json").write_text(json.dumps({**manifest, "keys": []}))
    model = load_transmitter_model(models, RATE, codec="nested-labels")
    with KnowledgeBase.open(folder) as kb:
        receiver = Receiver(Decoders.of(models, kb), kb)
        assert answers(model, RATE, receiver, pictures) == [None] * 12
        assert receiver.rejected == {"codec not served": 12}
    images = sorted((folder / "images").rglob("*"))
    times = [path.stat().st_mtime_ns for path in images]
    assert project_knowledge_base(folder, models) == ["nested-labels"]
    assert [path.stat().st_mtime_ns for path in images] == times
    with KnowledgeBase.open(folder) as kb:
        assert kb.verify() == []
        assert None not in answers(model, RATE, Receiver(Decoders.of(models, kb), kb), pictures)


def test_damaged_vectors_are_found(kb_folder: Path, models: ModelSet, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kb_folder, tmp_path / "KB"))
    (keys,) = folder.glob("projected-*.faiss")
    keys.write_bytes(keys.read_bytes()[:-10])
    with KnowledgeBase.open(folder) as kb:
        assert kb.verify() == [f"{keys.name}: sha256 is not the manifest's"]
        with pytest.raises(KnowledgeBaseError, match="damaged, or replaced"):
            kb.projected(models.codec("nested-labels").projection_fingerprint)


def test_entries_of_another_knowledge_base_are_refused(kb_folder: Path, models: ModelSet, tmp_path: Path) -> None:
    """Whole, and as many, but not those that the manifest describes."""
    folder = Path(shutil.copytree(kb_folder, tmp_path / "KB"))
    (path,) = folder.glob("projected-*.faiss")
    with KnowledgeBase.open(folder) as kb:
        foreign = FlatIndex(16)
        foreign.add(kb.features()[::-1])
        foreign.save(path)
        with pytest.raises(KnowledgeBaseError, match="replaced"):
            kb.projected(models.codec("nested-labels").projection_fingerprint)


def test_new_vectors_replace_old_ones(kb_folder: Path, models: ModelSet, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kb_folder, tmp_path / "KB"))
    other = Path(shutil.copytree(models.folder, tmp_path / "retrained"))
    proxies = other / "nested-labels.proxies.npz"
    proxies.write_bytes(save_proxies(CATEGORIES, np.eye(3, 16, dtype=np.float32)))
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["codecs"][3]["keys"]["proxies"]["sha256"] = file_sha256(proxies)
    (other / "manifest.json").write_text(json.dumps(manifest))
    (before,) = folder.glob("projected-*.faiss")
    project_knowledge_base(folder, ModelSet(other))
    (after,) = folder.glob("projected-*.faiss")
    assert after != before
    with KnowledgeBase.open(folder) as kb:
        assert [entry.file for entry in kb.manifest.projected] == [after.name]
        assert kb.verify() == []


def test_set_without_a_projection_head_has_nothing_to_project(model_set: ModelSet, kb_folder: Path) -> None:
    with pytest.raises(ModelSetError, match="has no codec with a projection head"):
        project_knowledge_base(kb_folder, model_set)


def test_no_knowledge_base_to_project(models: ModelSet, tmp_path: Path) -> None:
    with pytest.raises(KnowledgeBaseError, match="not a knowledge base"):
        project_knowledge_base(tmp_path / "nowhere", models)


def test_entries_of_another_encoder_are_refused(kb: KnowledgeBase, models: ModelSet) -> None:
    with pytest.raises(ModelSetError, match="exported for other models"):
        load_index_model(models, EntryCodebook.of(kb.features(), kb.fingerprint, space="f" * 64))


def test_stale_entries_are_rejected_with_a_hint(
    models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage], caplog: pytest.LogCaptureFixture
) -> None:
    stale = EntryCodebook.of(kb.features()[::-1], bytes(32), space=models.encoder_fingerprint)
    receiver = Receiver(Decoders.of(models, kb), kb)
    assert answers(load_index_model(models, stale), RATE, receiver, pictures) == [None] * 12
    assert receiver.rejected == {"unknown models": 12}
    assert "semlink kb export-entries" in caplog.text
