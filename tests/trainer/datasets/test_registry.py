"""Datasets: splits, folders, names, and that none of it needs torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.progress import Progress

from semlink.errors import ConfigError, DatasetError, ImageError, MissingDependencyError, SemlinkError
from semlink.image import load_image
from tests.support.deadlines import DEADLINE_S
from trainer.datasets import DATASETS, ImageList, half_split, open_dataset, write_folder


def make_list(names: list[str], labels: list[str]) -> ImageList:
    rng = np.random.default_rng(len(names))
    images = [rng.integers(0, 256, (4, 5, 3), dtype=np.uint8) for _ in names]
    return ImageList.of_arrays(images, names, labels)


def save_pictures(folder: Path, names: list[str]) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)


@given(st.lists(st.sampled_from("abcd")))
def test_half_split_halves_every_class_in_order(labels: list[str]) -> None:
    sent, knowledge_base = half_split(labels)
    assert sorted([*sent, *knowledge_base]) == list(range(len(labels)))
    for label in set(labels):
        members = [index for index, other in enumerate(labels) if other == label]
        sent_members = [index for index in sent if labels[index] == label]
        assert sent_members == members[: len(members) // 2]


def test_digits_are_split_in_halves() -> None:
    digits = open_dataset("digits")
    assert (len(digits.sent), len(digits.knowledge_base)) == (896, 901)
    assert set(digits.sent.labels) == set("0123456789")
    image = digits.sent.image(0)
    assert image.shape == (8, 8, 3)
    assert image.dtype == np.uint8
    assert max(digits.sent.image(index).max() for index in range(50)) == 255
    assert digits.train is None
    assert not set(digits.sent.names) & set(digits.knowledge_base.names)


def test_digits_without_scikit_learn_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependencyError, match=r"scikit-learn.*\.\[demo\]"):
        open_dataset("digits")


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
    with pytest.raises(ConfigError, match="count"):
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
    assert "picture" in dataset.right


def test_a_changed_file_changes_the_content_key(tmp_path: Path) -> None:
    save_pictures(tmp_path, ["a.png", "b.png"])
    before = open_dataset(tmp_path).knowledge_base.content_key
    assert open_dataset(tmp_path).knowledge_base.content_key == before
    save_pictures(tmp_path, ["b.png"])
    assert open_dataset(tmp_path).knowledge_base.content_key != before


def truncate(*paths: Path) -> None:
    for path in paths:
        path.write_bytes(path.read_bytes()[:-200])


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


def test_unreadable_pictures_of_class_folders_are_left_out_before_the_split(tmp_path: Path) -> None:
    save_pictures(tmp_path, [f"{part}/cat/{index}.png" for part in ("train", "test") for index in range(4)])
    truncate(tmp_path / "test" / "cat" / "0.png", tmp_path / "test" / "cat" / "3.png", tmp_path / "train/cat/1.png")
    dataset = open_dataset(tmp_path)
    assert (dataset.sent.names, dataset.knowledge_base.names) == (("cat/1.png",), ("cat/2.png",))
    assert dataset.train is not None
    assert dataset.train.names == ("cat/0.png", "cat/2.png", "cat/3.png")
    assert len(dataset.skipped) == 3


def test_a_folder_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    save_pictures(tmp_path, ["a.png", "b.png"])
    truncate(tmp_path / "a.png", tmp_path / "b.png")
    with pytest.raises(DatasetError, match=r"2 pictures and none can be read; the first: .*a\.png"):
        open_dataset(tmp_path)


def test_a_picture_that_vanishes_is_named(tmp_path: Path) -> None:
    save_pictures(tmp_path, ["a.png", "b.png"])
    dataset = open_dataset(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match=r"a\.png: cannot be read: No such file"):
        dataset.knowledge_base.image(0)


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


def test_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(SemlinkError, match=", ".join(DATASETS)):
        open_dataset(tmp_path / "nowhere")


def test_datasets_run_where_torch_is_blocked() -> None:
    # scipy takes a None in sys.modules for an imported torch, so it is blocked where it would be found.
    script = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is blocked")

sys.meta_path.insert(0, Block())
from trainer.datasets import open_dataset
print(len(open_dataset("digits").sent), len(open_dataset("photos").sent))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.stdout.split() == ["896", "105"], done.stderr
