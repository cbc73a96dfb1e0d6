"""Which images a report shows, and how large."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_rx.kb.build import build_knowledge_base, labelled_folder
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from trainer.demo.config import LinkSettings
from trainer.demo.gallery import MAX_SIDE_PX, make_gallery
from trainer.demo.measure import Retrieval
from trainer.demo.report import DatasetReport, DatasetRun


@pytest.fixture
def small(dataset_run: Callable[..., DatasetRun], settings: Callable[..., LinkSettings]) -> DatasetRun:
    """Small pictures; `nested` at two SNRs and `kbsc`."""
    return dataset_run("pictures", [settings(snr_db=0.0), settings(snr_db=10.0), settings(codec="kbsc")])


@pytest.fixture
def photographs(small: DatasetRun, tmp_path: Path, model_set: ModelSet) -> DatasetRun:
    """Eight large pictures, each retrieved as itself at 0 dB and at 10 dB."""
    folder, rng = tmp_path / "large", np.random.default_rng(0)
    for number in range(8):
        path = folder / f"class-{number}" / "0.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)).resize((480, 360)).save(path)
    build_knowledge_base(labelled_folder(folder), tmp_path / "kb", ImageEncoder(model_set))
    found = tuple(
        Retrieval(str(path), path.parent.name, number, path.parent.name, 0.5, 5.0)
        for number, path in enumerate(sorted(folder.rglob("*.png")))
    )
    report = DatasetReport("photos", "the labels agree", 1.0, 8, 0, small.report.cells[:2])
    return DatasetRun(report, (found, found), tmp_path / "kb")


def test_small_images_have_matches_of_the_first_codec_and_no_still(small: DatasetRun) -> None:
    gallery = make_gallery(small)
    assert (gallery.codec, gallery.rate, gallery.num_symbols) == ("nested", "1/48", 64)
    assert not gallery.are_photographs
    assert len(gallery.images) == 8
    for image in gallery.images:
        assert [match.snr_db for match in image.matches] == [0.0, 10.0]
        assert image.still is None
        assert image.picture is not None


def test_photographs_are_large_and_have_stills(photographs: DatasetRun) -> None:
    gallery = make_gallery(photographs)
    assert gallery.are_photographs
    assert [image.label for image in gallery.images] == [f"class-{number}" for number in (0, 1, 2, 4, 5, 7)]
    for image in gallery.images:
        assert image.picture is not None
        assert image.picture.size == (MAX_SIDE_PX, MAX_SIDE_PX * 3 // 4)
        assert image.still is not None
        for match in image.matches:
            assert match.picture is not None
            np.testing.assert_array_equal(np.asarray(match.picture), np.asarray(image.picture))


def test_named_categories_are_shown_where_the_dataset_has_them(photographs: DatasetRun) -> None:
    gallery = make_gallery(photographs, categories=("class-6", "none", "class-1"))
    assert [image.label for image in gallery.images] == ["class-6", "class-1"]
    assert len(make_gallery(photographs, categories=("none",)).images) == 6


def test_an_image_that_was_lost_at_one_snr_is_not_shown(photographs: DatasetRun) -> None:
    first, second = photographs.retrievals
    run = DatasetRun(photographs.report, (first, second[3:]), photographs.knowledge_base)
    labels = [image.label for image in make_gallery(run).images]
    assert labels == [f"class-{number}" for number in range(3, 8)]
    nothing = DatasetRun(photographs.report, (first, ()), photographs.knowledge_base)
    assert make_gallery(nothing).images == []


def test_pictures_that_were_removed_leave_their_labels(photographs: DatasetRun, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "large")
    gallery = make_gallery(photographs)
    assert len(gallery.images) == 8
    assert all(image.picture is None and image.label for image in gallery.images)
    assert not gallery.are_photographs
