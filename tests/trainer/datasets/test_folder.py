"""Folders of images: which layouts are datasets, and how they are split."""

from __future__ import annotations

from pathlib import Path

import pytest

from semlink.errors import ConfigError, DatasetError
from tests.support.pictures import save_pictures, truncate
from trainer.datasets import open_dataset


def test_class_folders(tmp_path: Path) -> None:
    save_pictures(tmp_path, ["cat/1.png", "cat/2.jpg", "cat/deep/3.png", "dog/1.png", "dog/2.png"])
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "empty").mkdir()
    dataset = open_dataset(tmp_path)
    assert dataset.name == tmp_path.name
    assert dataset.sent.names == ("cat/1.png", "dog/1.png")
    assert dataset.knowledge_base.names == ("cat/2.jpg", "cat/deep/3.png", "dog/2.png")
    assert dataset.knowledge_base.labels == ("cat", "cat", "dog")
    assert dataset.sent.image(0).shape == (20, 30, 3)
    assert dataset.train is None


def test_train_and_test_folders(tmp_path: Path) -> None:
    save_pictures(tmp_path, ["train/cat/1.png", "test/cat/1.png", "test/cat/2.png"])
    dataset = open_dataset(str(tmp_path))
    assert dataset.train is not None
    assert dataset.train.labels == ("cat",)
    assert (dataset.sent.names, dataset.knowledge_base.names) == (("cat/1.png",), ("cat/2.png",))


def test_flat_folder_sends_views_of_its_pictures(tmp_path: Path) -> None:
    save_pictures(tmp_path, ["a.png", "b.png", "b.jpg"])
    dataset = open_dataset(tmp_path, seed=1, num_views=2)
    assert dataset.knowledge_base.names == dataset.knowledge_base.labels == ("a", "b.jpg", "b.png")
    assert dataset.sent.labels == ("a", "a", "b.jpg", "b.jpg", "b.png", "b.png")
    assert dataset.criterion == "the retrieved image is the one whose view was sent"


def test_unreadable_pictures_of_class_folders_are_left_out_before_the_split(tmp_path: Path) -> None:
    save_pictures(tmp_path, [f"{part}/cat/{index}.png" for part in ("train", "test") for index in range(4)])
    truncate(tmp_path / "test" / "cat" / "0.png", tmp_path / "test" / "cat" / "3.png", tmp_path / "train/cat/1.png")
    dataset = open_dataset(tmp_path)
    assert (dataset.sent.names, dataset.knowledge_base.names) == (("cat/1.png",), ("cat/2.png",))
    assert dataset.train is not None
    assert dataset.train.names == ("cat/0.png", "cat/2.png", "cat/3.png")
    assert len(dataset.skipped) == 3


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    save_pictures(tmp_path, ["a.png", ".b.png", ".cache/c.png"])
    assert open_dataset(tmp_path).knowledge_base.names == ("a",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.png", "cat/b.png"], "beside and inside"),
        (["train/a.png", "train/cat/b.png", "test/cat/b.png"], "train: .*beside and inside"),
        (["cat/1.png", "dog/1.png"], "no class has two"),
    ],
)
def test_folders_that_are_no_dataset(tmp_path: Path, names: list[str], message: str) -> None:
    save_pictures(tmp_path, names)
    with pytest.raises(DatasetError, match=message):
        open_dataset(tmp_path)


def test_empty_folder_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no images"):
        open_dataset(tmp_path)
