"""Codebooks in the folder of a knowledge base: the newest and the last few before it, whole or damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_rx.codebook.knowledge_base import codebook_of
from edge_rx.codebook.make import make_codebook
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import build_knowledge_base, labelled_folder
from edge_rx.kb.codebooks import NUM_EARLIER_CODEBOOKS, add_codebook
from edge_rx.kb.manifest import MANIFEST_FILE, read_manifest
from engines.models.image_encoder import ImageEncoder
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from semlink.errors import KnowledgeBaseError, ModelSetError
from semlink.receiver_report import MAX_CODEBOOKS


def other_codebook(folder: Path, seed: int, *, space: str | None = None) -> KnowledgeBaseCodebook:
    with KnowledgeBase.open(folder) as knowledge_base:
        return make_codebook(
            knowledge_base.features(),
            knowledge_base.entry_labels(),
            knowledge_base=knowledge_base.fingerprint,
            space=space or knowledge_base.manifest.encoder_fingerprint,
            seed=seed,
        )


def listed(folder: Path) -> list[str]:
    return [entry.sha256 for entry in read_manifest(folder).codebooks]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*codebook*")}


def newest_file(folder: Path) -> Path:
    return folder / read_manifest(folder).codebooks[0].file


def test_a_build_makes_it_for_its_entries(knowledge_base: KnowledgeBase, model_set: ModelSet) -> None:
    (codebook,) = knowledge_base.codebooks()
    (entry,) = knowledge_base.manifest.codebooks
    assert codebook.sha256 == knowledge_base.newest_codebook().sha256 == entry.sha256
    assert codebook.knowledge_base.tobytes() == knowledge_base.fingerprint
    assert codebook.encoder_fingerprint == model_set.encoder_fingerprint
    assert entry.num_bytes == (knowledge_base.folder / entry.file).stat().st_size
    assert (entry.num_cells, entry.num_labelled_cells, entry.kind) in {(3, 3, "labels"), (12, 0, "k-means cells")}
    assert 0.0 < entry.digital_power_share <= 1.0


def test_the_newest_is_first_and_the_last_few_stay(kb_folder: Path) -> None:
    made = [listed(kb_folder)[0]]
    for seed in range(1, NUM_EARLIER_CODEBOOKS + 3):
        made.insert(0, add_codebook(kb_folder, other_codebook(kb_folder, seed)).sha256)
    kept = made[: 1 + NUM_EARLIER_CODEBOOKS]
    assert len(kept) <= MAX_CODEBOOKS
    with KnowledgeBase.open(kb_folder) as knowledge_base:
        assert [codebook.sha256 for codebook in knowledge_base.codebooks()] == listed(kb_folder) == kept
        assert knowledge_base.verify() == []
    assert files(kb_folder) == {f"codebook-{sha256[:16]}.npz" for sha256 in kept}


def test_the_same_one_twice_is_listed_once(kb_folder: Path) -> None:
    first, other = listed(kb_folder)[0], other_codebook(kb_folder, 1)
    add_codebook(kb_folder, other)
    add_codebook(kb_folder, other)
    assert listed(kb_folder) == [other.sha256, first]


def test_one_of_another_encoder_is_refused(kb_folder: Path) -> None:
    before = listed(kb_folder)
    with pytest.raises(ModelSetError, match="a codebook for the image encoder abababababab"):
        add_codebook(kb_folder, other_codebook(kb_folder, 1, space="ab" * 32))
    assert listed(kb_folder) == before


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def exchange(path: Path) -> None:
    path.write_bytes(other_codebook(path.parent, 7).content)


DAMAGES: list[Callable[[Path], object]] = [
    Path.unlink,
    lambda path: path.write_bytes(path.read_bytes()[:-100]),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(bytes(2_000_000)),
    alter,
    exchange,
]
damages = pytest.mark.parametrize(
    "damage", DAMAGES, ids=["missing", "truncated", "empty", "oversized", "altered", "another"]
)


@damages
def test_damage_is_found_and_named_with_its_fix(kb_folder: Path, damage: Callable[[Path], object]) -> None:
    file = newest_file(kb_folder)
    damage(file)
    with KnowledgeBase.open(kb_folder) as knowledge_base:
        for read in (knowledge_base.codebooks, knowledge_base.newest_codebook):
            with pytest.raises(KnowledgeBaseError, match=rf"{file.name}.*semlink kb make-codebook") as caught:
                read()
            assert "\n" not in str(caught.value)
        (problem,) = knowledge_base.verify()
        assert file.name in problem


@damages
def test_an_earlier_one_that_is_damaged_is_left_out(
    kb_folder: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    earlier, sha256 = newest_file(kb_folder), listed(kb_folder)[0]
    newest = add_codebook(kb_folder, other_codebook(kb_folder, 1))
    damage(earlier)
    with KnowledgeBase.open(kb_folder) as knowledge_base:
        assert [codebook.sha256 for codebook in knowledge_base.codebooks()] == [newest.sha256]
    assert f"frames of the earlier codebook {sha256[:12]} are not decoded" in caplog.text


def test_they_are_those_of_the_entries_that_were_opened(
    kb_folder: Path, tmp_path: Path, picture_folder: Path, encoder: ImageEncoder
) -> None:
    """A build that takes the folder's place later changes nothing, though its codebook has another name."""
    with KnowledgeBase.open(kb_folder) as knowledge_base:
        images = labelled_folder(picture_folder)[:11]
        build_knowledge_base(images, tmp_path / "other", encoder, codebook_maker=codebook_of)
        before = listed(kb_folder)
        shutil.rmtree(kb_folder)
        (tmp_path / "other").rename(kb_folder)
        assert listed(kb_folder) != before
        assert [codebook.sha256 for codebook in knowledge_base.codebooks()] == before
        assert knowledge_base.newest_codebook().knowledge_base.tobytes() == knowledge_base.fingerprint


@damages
def test_a_new_one_replaces_damage(kb_folder: Path, damage: Callable[[Path], object]) -> None:
    damaged, same = newest_file(kb_folder), other_codebook(kb_folder, 0)
    damage(damaged)
    made = add_codebook(kb_folder, other_codebook(kb_folder, 1))
    assert listed(kb_folder) == [made.sha256]
    assert files(kb_folder) == {made.file}
    add_codebook(kb_folder, same)
    with KnowledgeBase.open(kb_folder) as knowledge_base:
        assert [codebook.sha256 for codebook in knowledge_base.codebooks()] == [same.sha256, made.sha256]
        assert knowledge_base.verify() == []


class TestRebuild:
    @pytest.fixture
    def rebuild(self, kb_folder: Path, picture_folder: Path, encoder: ImageEncoder) -> Callable[..., None]:
        def run(num_pictures: int, encoder: ImageEncoder = encoder, **options: Any) -> None:
            build_knowledge_base(
                labelled_folder(picture_folder)[:num_pictures],
                kb_folder,
                encoder,
                replace=True,
                **{"codebook_maker": codebook_of, **options},
            )

        return run

    def test_it_keeps_the_last_few_codebooks(self, kb_folder: Path, rebuild: Callable[..., None]) -> None:
        made = listed(kb_folder)
        for num_pictures in range(11, 11 - NUM_EARLIER_CODEBOOKS - 2, -1):
            rebuild(num_pictures)
            made.insert(0, listed(kb_folder)[0])
        assert len(set(made)) == NUM_EARLIER_CODEBOOKS + 3
        assert listed(kb_folder) == made[: 1 + NUM_EARLIER_CODEBOOKS]
        with KnowledgeBase.open(kb_folder) as knowledge_base:
            assert knowledge_base.verify() == []
            newest, *earlier = knowledge_base.codebooks()
            assert newest.knowledge_base.tobytes() == knowledge_base.fingerprint
            assert all(each.knowledge_base.tobytes() != knowledge_base.fingerprint for each in earlier)

    def test_the_same_entries_have_one_codebook(self, kb_folder: Path, rebuild: Callable[..., None]) -> None:
        before = listed(kb_folder)
        rebuild(12)
        assert listed(kb_folder) == before

    def test_nothing_is_kept_of_another_encoder(
        self, kb_folder: Path, rebuild: Callable[..., None], other_model_set: ModelSet
    ) -> None:
        before = listed(kb_folder)
        rebuild(12, encoder=ImageEncoder(other_model_set))
        assert len(listed(kb_folder)) == 1
        assert listed(kb_folder) != before

    @damages
    def test_damage_is_left_behind(
        self, kb_folder: Path, rebuild: Callable[..., None], damage: Callable[[Path], object]
    ) -> None:
        before, damaged = listed(kb_folder), newest_file(kb_folder)
        damage(damaged)
        rebuild(11)
        assert len(listed(kb_folder)) == 1
        assert listed(kb_folder) != before
        assert damaged.name not in files(kb_folder)

    def test_a_damaged_knowledge_base_is_replaced(self, kb_folder: Path, rebuild: Callable[..., None]) -> None:
        (kb_folder / MANIFEST_FILE).write_text("{")
        rebuild(11)
        assert len(listed(kb_folder)) == 1

    def test_without_a_codebook_of_its_own_it_has_none(self, kb_folder: Path, rebuild: Callable[..., None]) -> None:
        rebuild(11, codebook_maker=None)
        assert listed(kb_folder) == []
        with (
            KnowledgeBase.open(kb_folder) as knowledge_base,
            pytest.raises(KnowledgeBaseError, match="has no codebook; make one with: semlink kb make-codebook"),
        ):
            knowledge_base.newest_codebook()


def test_a_name_that_leads_out_of_the_folder_is_refused(kb_folder: Path) -> None:
    path = kb_folder / MANIFEST_FILE
    manifest = json.loads(path.read_bytes())
    manifest["codebooks"][0]["file"] = "../codebook.npz"
    path.write_text(json.dumps(manifest))
    with pytest.raises(KnowledgeBaseError, match="must be a plain name beside the manifest"):
        KnowledgeBase.open(kb_folder)
