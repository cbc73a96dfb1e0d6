"""Image files: their content key, and those that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from semlink.errors import DatasetError, ImageError
from tests.support.pictures import save_pictures, truncate
from trainer.datasets import open_dataset


def test_a_changed_file_changes_the_content_key(tmp_path: Path) -> None:
    save_pictures(tmp_path, ["a.png", "b.png"])
    before = open_dataset(tmp_path).knowledge_base.content_key
    assert open_dataset(tmp_path).knowledge_base.content_key == before
    save_pictures(tmp_path, ["b.png"])
    assert open_dataset(tmp_path).knowledge_base.content_key != before


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_a_truncated_picture_is_skipped_and_named(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    save_pictures(tmp_path, [f"a.{suffix}", f"b.{suffix}", f"c.{suffix}"])
    truncate(tmp_path / f"b.{suffix}")
    (tmp_path / "c.png").write_text("no picture")
    dataset = open_dataset(tmp_path, num_views=1)
    bad = {f"b.{suffix}", "c.png"}
    assert {reason.split(":")[0] for reason in dataset.skipped} == {str(tmp_path / name) for name in bad}
    assert len(dataset.knowledge_base) == 3 - len(bad & {f"{name}.{suffix}" for name in "abc"})
    for name in bad:
        assert f"skipped {tmp_path / name}" in caplog.text
    for index in range(len(dataset.sent)):
        dataset.sent.image(index)


def test_a_folder_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    save_pictures(tmp_path, ["a.png", "b.png"])
    truncate(tmp_path / "a.png", tmp_path / "b.png")
    with pytest.raises(DatasetError, match=r"none of 2 images can be read; the first: .*a\.png"):
        open_dataset(tmp_path)


def test_a_picture_that_vanishes_is_named(tmp_path: Path) -> None:
    save_pictures(tmp_path, ["a.png", "b.png"])
    dataset = open_dataset(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match=r"a\.png: cannot be read: No such file"):
        dataset.knowledge_base.image(0)
