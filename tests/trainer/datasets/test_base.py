"""Image lists, the split in halves, and folders of files written from lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress

from semlink.errors import ConfigError, DatasetError
from semlink.image import load_image
from trainer.datasets import ImageList, half_split, write_folder


def make_list(names: list[str], labels: list[str]) -> ImageList:
    rng = np.random.default_rng(len(names))
    images = [rng.integers(0, 256, (4, 5, 3), dtype=np.uint8) for _ in names]
    return ImageList.of_arrays(images, names, labels)


@given(st.lists(st.sampled_from("abcd")))
def test_half_split_halves_every_class_in_order(labels: list[str]) -> None:
    sent, knowledge_base = half_split(labels)
    assert sorted([*sent, *knowledge_base]) == list(range(len(labels)))
    for label in set(labels):
        members = [index for index, other in enumerate(labels) if other == label]
        sent_members = [index for index in sent if labels[index] == label]
        assert sent_members == members[: len(members) // 2]


def test_subset_keeps_names_labels_and_pixels() -> None:
    images = make_list(["a", "b", "c"], ["x", "y", "x"])
    subset = images.subset(np.array([2, 0]))
    assert subset.names == ("c", "a")
    assert subset.labels == ("x", "x")
    np.testing.assert_array_equal(subset.image(0), images.image(2))
    assert subset.content_key != images.content_key != images.subset(np.array([0, 2])).content_key


@pytest.mark.parametrize(("names", "labels"), [(["a", "a"], ["x", "x"]), (["a", "b"], ["x"])])
def test_image_list_refuses(names: list[str], labels: list[str]) -> None:
    with pytest.raises(ConfigError, match="names"):
        make_list(names, labels)


def test_write_folder_keeps_order_and_pixels(tmp_path: Path) -> None:
    images = make_list(["b", "a", "c"], ["cat", "dog", "cat"])
    with Progress(disable=True) as progress:
        paths = write_folder(images, tmp_path / "out", progress=progress)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "out/cat/b.png",
        "out/dog/a.png",
        "out/cat/c.png",
    ]
    for index, path in enumerate(paths):
        np.testing.assert_array_equal(load_image(path), images.image(index))
    assert write_folder(images.spread(2), tmp_path / "few") == [tmp_path / "few/cat/b.png", tmp_path / "few/cat/c.png"]
    assert images.spread(None) is images.spread(3) is images
    with pytest.raises(ConfigError, match="limit"):
        images.spread(0)


def test_write_folder_makes_names_safe_and_keeps_them_apart(tmp_path: Path) -> None:
    names, labels = ["x/1", "x_1", "X_1", "..", "y"], ["a b", "a/b", "a b", "../up", ".."]
    paths = write_folder(make_list(names, labels), tmp_path)
    assert len({str(path).lower() for path in paths}) == len(paths)
    for path in paths:
        assert path.resolve().parent.parent == tmp_path.resolve()
        assert path.is_file()
        assert not path.name.startswith(".")
    assert paths[0].parent == paths[2].parent != paths[1].parent


def test_write_folder_on_a_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(DatasetError, match="cannot be written"):
        write_folder(make_list(["a"], ["x"]), tmp_path / "taken")
