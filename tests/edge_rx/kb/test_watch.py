"""A receiver is warned, once a version, that its knowledge base's folder holds another one."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from edge_rx.codebook.knowledge_base import codebook_of, make_codebook_in
from edge_rx.codebook.make import make_codebook
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import build_knowledge_base, labelled_folder
from edge_rx.kb.codebooks import add_codebook
from edge_rx.kb.manifest import read_manifest
from edge_rx.kb.watch import KnowledgeBaseWatch
from engines.models.image_encoder import ImageEncoder

LONG_S = 3600.0
"""Far more than the interval."""


@pytest.fixture
def watch(kb_folder: Path) -> KnowledgeBaseWatch:
    """Looks at each check, since an hour passes between two."""
    clock = itertools.count(0.0, LONG_S)
    return KnowledgeBaseWatch(kb_folder, read_manifest(kb_folder), now_s=lambda: next(clock))


def rebuild(folder: Path, pictures: Path, num_pictures: int, encoder: ImageEncoder) -> None:
    images = labelled_folder(pictures)[:num_pictures]
    build_knowledge_base(images, folder, encoder, codebook_maker=codebook_of, replace=True)


def test_each_version_is_named_once(
    watch: KnowledgeBaseWatch,
    kb_folder: Path,
    picture_folder: Path,
    encoder: ImageEncoder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for num_pictures, num_expected in ((None, 0), (11, 1), (10, 2)):
        if num_pictures is not None:
            rebuild(kb_folder, picture_folder, num_pictures, encoder)
        watch.check()
        watch.check()
        assert len(caplog.records) == num_expected
    message = caplog.records[-1].getMessage()
    assert read_manifest(kb_folder).fingerprint.hex()[:12] in message
    assert message.endswith("restart rx to serve it")


def test_a_new_codebook_is_another_version(
    watch: KnowledgeBaseWatch, kb_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_codebook_in(kb_folder)
    watch.check()
    assert not caplog.records, "the same codebook of the same entries, made again"
    with KnowledgeBase.open(kb_folder) as knowledge_base:
        other = make_codebook(
            knowledge_base.features(),
            knowledge_base.entry_labels(),
            knowledge_base=knowledge_base.fingerprint,
            space=knowledge_base.manifest.encoder_fingerprint,
            seed=1,
        )
    made = add_codebook(kb_folder, other)
    watch.check()
    (record,) = caplog.records
    assert f"codebook {made.sha256[:12]}" in record.getMessage()


def test_a_folder_that_is_gone_is_named_once(
    watch: KnowledgeBaseWatch, kb_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(kb_folder)
    watch.check()
    watch.check()
    (record,) = caplog.records
    assert "is no longer in its folder" in record.getMessage()


def test_nothing_is_read_before_the_interval_has_passed(
    kb_folder: Path, picture_folder: Path, encoder: ImageEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 0.0
    watch = KnowledgeBaseWatch(kb_folder, read_manifest(kb_folder), now_s=lambda: now_s)
    watch.check()
    rebuild(kb_folder, picture_folder, 11, encoder)
    watch.check()
    assert not caplog.records
    now_s = LONG_S
    watch.check()
    assert len(caplog.records) == 1
