"""Opening, searching and verifying a knowledge base, whole and damaged."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_rx.codebook.knowledge_base import codebook_of
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import LabelledImage, build_knowledge_base
from edge_rx.kb.codebooks import CodebookFile
from edge_rx.kb.images import ImageStore, encode_png
from edge_rx.kb.index import FlatIndex
from edge_rx.kb.manifest import INDEX_FILE, MANIFEST_FILE, RECORDS_FILE
from edge_rx.kb.records import RecordTable
from edge_rx.kb.storage import exchange_folders
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.errors import KnowledgeBaseError
from semlink.image import RGBImage


def test_every_picture_finds_itself(
    knowledge_base: KnowledgeBase, encoder: ImageEncoder, pictures: dict[str, RGBImage], picture_folder: Path
) -> None:
    for name, picture in pictures.items():
        entry_ids, scores = knowledge_base.search(encoder.encode([picture]))
        record = knowledge_base.record(int(entry_ids[0, 0]))
        assert record.source == name
        assert record.label == name.split("/")[0]
        assert (record.width_px, record.height_px) == (12, 10)
        assert scores[0, 0] == pytest.approx(1.0, abs=1e-6)
        assert knowledge_base.image_path(record).read_bytes() == (picture_folder / name).read_bytes()


def test_nearest_is_search_with_records(
    knowledge_base: KnowledgeBase, encoder: ImageEncoder, pictures: dict[str, RGBImage]
) -> None:
    query = encoder.encode([pictures["boat/2.png"]])[0]
    neighbours = knowledge_base.nearest(query, num_matches=3)
    assert neighbours[0].record.source == "boat/2.png"
    assert [neighbour.score for neighbour in neighbours] == sorted((n.score for n in neighbours), reverse=True)
    assert Path(neighbours[0].image_path).is_file()


def test_manifest_labels_and_records(knowledge_base: KnowledgeBase, model_set: ModelSet) -> None:
    assert knowledge_base.manifest.encoder_fingerprint == model_set.encoder_fingerprint
    assert knowledge_base.num_entries == knowledge_base.manifest.num_entries == 12
    assert knowledge_base.labels() == {"apple": 4, "boat": 4, "cat": 4}
    assert [record.entry_id for record in knowledge_base.records()] == list(range(12))


def test_a_whole_one_has_no_problems(knowledge_base: KnowledgeBase) -> None:
    assert knowledge_base.verify() == []


def test_an_entry_that_is_not_there(knowledge_base: KnowledgeBase) -> None:
    with pytest.raises(KnowledgeBaseError, match="no entry 99; the knowledge base has 12, numbered from 0"):
        knowledge_base.record(99)


def test_another_encoder_is_refused_by_name(built_kb: Path, other_model_set: ModelSet) -> None:
    theirs = other_model_set.manifest.encoder.name
    with pytest.raises(
        KnowledgeBaseError, match=rf"synthetic-encoder-0 .* queries come from {theirs} .* build it again"
    ):
        KnowledgeBase.open(built_kb, other_model_set.encoder_fingerprint, encoder_name=theirs)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        KnowledgeBaseError, match=r"not a knowledge base: manifest\.json: No such file.*semlink kb build"
    ):
        KnowledgeBase.open(tmp_path)


def _set_manifest(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST_FILE).read_text())
        (folder / MANIFEST_FILE).write_text(json.dumps({**manifest, **changes}))

    return damage


def _truncate(name: str, size: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:size])

    return damage


def _delete_row(folder: Path) -> None:
    with closing(sqlite3.connect(folder / RECORDS_FILE)) as table:
        table.execute("DELETE FROM entries WHERE entry_id = 3")
        table.commit()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / INDEX_FILE).unlink(), r"index\.faiss: no such file; .* build it again"),
        (lambda folder: (folder / RECORDS_FILE).unlink(), r"records\.sqlite: no such file; .* build it again"),
        (_truncate(INDEX_FILE, 100), r"index\.faiss: damaged"),
        (_truncate(RECORDS_FILE, 100), "the records are damaged, build the knowledge base again"),
        (_truncate(RECORDS_FILE, 5000), "the records are damaged, build the knowledge base again"),
        (_truncate(RECORDS_FILE, 0), "the records are damaged, build the knowledge base again"),
        (_truncate(MANIFEST_FILE, 40), r"manifest\.json: damaged"),
        (_delete_row, r"records\.sqlite has 11 entries, the manifest says 12"),
        (_set_manifest(num_entries=13), r"index\.faiss has 12 entries, the manifest says 13"),
        (_set_manifest(format=3), "knowledge base format 3, this version reads up to 2; update semlink"),
        (_set_manifest(format=3, news="of a later version"), "format 3, .* update semlink"),
        (_set_manifest(format=0), r"manifest\.json: damaged"),
        (_set_manifest(index_kind="hnsw"), "index hnsw"),
        (_set_manifest(surprise=1), r"manifest\.json: damaged"),
        (_set_manifest(feature_dim=8), "expected IndexFlatIP of dimension 8, found IndexFlatIP of dimension 16"),
    ],
)
def test_damage_is_found_at_opening(kb_folder: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(kb_folder)
    with pytest.raises(KnowledgeBaseError, match=message) as caught:
        KnowledgeBase.open(kb_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("num_replacements", [1, 99])
@pytest.mark.parametrize("loaded_after", [FlatIndex, RecordTable, CodebookFile])
def test_a_build_that_takes_its_place_while_it_is_opened(
    kb_folder: Path,
    tmp_path: Path,
    encoder: ImageEncoder,
    pictures: dict[str, RGBImage],
    monkeypatch: pytest.MonkeyPatch,
    num_replacements: int,
    loaded_after: type,
) -> None:
    """The same number of entries, so that sizes tell nothing; the other way round, so that a mixture would."""
    other = tmp_path / "other"
    reversed_pictures = [LabelledImage("", name, picture) for name, picture in reversed(pictures.items())]
    build_knowledge_base(reversed_pictures, other, encoder, codebook_maker=codebook_of)
    method = {FlatIndex: "load", RecordTable: "open", CodebookFile: "read"}[loaded_after]
    load = getattr(loaded_after, method)
    left = num_replacements

    def exchange_then_load(*args: object, **kwargs: object) -> object:
        nonlocal left
        if left:
            left -= 1
            exchange_folders(other, kb_folder)
        return load(*args, **kwargs)

    monkeypatch.setattr(loaded_after, method, exchange_then_load)
    if num_replacements > 1:
        with pytest.raises(KnowledgeBaseError, match="replaced 5 times while it was opened; let the builds end"):
            KnowledgeBase.open(kb_folder)
        return
    with KnowledgeBase.open(kb_folder) as opened:
        assert opened.verify() == []
        assert opened.newest_codebook().knowledge_base.tobytes() == opened.fingerprint
        for name, picture in pictures.items():
            assert opened.nearest(encoder.encode([picture])[0], num_matches=1)[0].record.source == name


def test_damage_that_only_reading_everything_finds(kb_folder: Path) -> None:
    with KnowledgeBase.open(kb_folder) as whole:
        first, second = whole.image_path(whole.record(0)), whole.image_path(whole.record(1))
    first.write_bytes(first.read_bytes()[:-1])
    second.unlink()
    index = bytearray((kb_folder / INDEX_FILE).read_bytes())
    index[-16 * 4 :] = np.full(16, np.nan, np.float32).tobytes()
    (kb_folder / INDEX_FILE).write_bytes(index)
    with closing(sqlite3.connect(kb_folder / RECORDS_FILE)) as table:
        table.execute("UPDATE entries SET label = 'pear' WHERE entry_id = 5")
        table.commit()

    with KnowledgeBase.open(kb_folder) as damaged:
        problems = damaged.verify()

    assert problems == [
        "index.faiss: sha256 is not the manifest's",
        "records.sqlite: sha256 is not the manifest's",
        "index.faiss: vector 11 is not of unit length",
        f"{first.relative_to(kb_folder)}: content is not what its name says (entry 0)",
        f"{second.relative_to(kb_folder)}: missing (entry 1, apple/1.png)",
    ]


def test_images_are_stored_once(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    sha256 = store.add(b"a picture", ".jpg")
    assert store.add(b"a picture", ".jpg") == sha256
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [store.path(sha256, ".jpg")]
    assert store.path(sha256, ".jpg").relative_to(tmp_path).parts[:2] == ("images", sha256[:2])


def test_png_loses_nothing(pictures: dict[str, RGBImage]) -> None:
    picture = pictures["cat/0.png"]
    with Image.open(io.BytesIO(encode_png(picture))) as decoded:
        np.testing.assert_array_equal(np.asarray(decoded), picture)
