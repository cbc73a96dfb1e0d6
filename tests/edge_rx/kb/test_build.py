from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import LabelledImage, build_knowledge_base, labelled_folder
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, ImageError, KnowledgeBaseError
from semlink.image import RGBImage
from tests.support.processes import RunningProcess, start_python

BUILDER = """
import sys
from pathlib import Path
from edge_rx.kb.build import build_knowledge_base, labelled_folder
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet

pictures, target, models = map(Path, sys.argv[1:])

def stuck_half_way():
    for number, image in enumerate(labelled_folder(pictures)):
        if number == 6:
            print("half way", flush=True)
            sys.stdin.readline()
        yield image

build_knowledge_base(stuck_half_way(), target, ImageEncoder(ModelSet(models)), batch_size=2, replace=True)
"""


@contextmanager
def half_built(pictures: Path, target: Path, model_set: ModelSet) -> Iterator[RunningProcess]:
    """A real builder process that waits, half way, for a line."""
    with start_python("-c", BUILDER, pictures, target, model_set.folder, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half way\n"
        yield process


def kill_half_way(pictures: Path, target: Path, model_set: ModelSet) -> None:
    with half_built(pictures, target, model_set) as builder:
        builder.send_signal(signal.SIGKILL)
        builder.wait()


def temporary_folders(target: Path) -> list[Path]:
    return [path for path in target.parent.iterdir() if path.name.startswith(f".{target.name}.building-")]


def is_whole(folder: Path) -> bool:
    with KnowledgeBase.open(folder) as knowledge_base:
        return knowledge_base.verify() == []


def test_class_folders_give_labels(picture_folder: Path) -> None:
    images = labelled_folder(picture_folder)
    assert [image.source for image in images] == sorted(image.source for image in images)
    assert {image.label for image in images} == {"apple", "boat", "cat"}


def test_a_flat_folder_has_none_and_hidden_or_other_files_do_not_count(picture_folder: Path, tmp_path: Path) -> None:
    shutil.copy(picture_folder / "cat/0.png", tmp_path / "one.PNG")
    shutil.copy(picture_folder / "cat/1.png", tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").write_text("no picture")
    assert [(image.label, image.source) for image in labelled_folder(tmp_path)] == [("", "one.PNG")]


def test_parts_of_a_dataset_are_no_labels(picture_folder: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        shutil.copytree(picture_folder, tmp_path / part)
    shutil.copytree(picture_folder, tmp_path / "val")
    shutil.copy(picture_folder / "cat/0.png", tmp_path / "stray.png")
    with pytest.raises(ConfigError, match="name one of them"):
        labelled_folder(tmp_path)
    assert labelled_folder(tmp_path / "train")[0].label == "apple"
    shutil.copy(picture_folder / "cat/0.png", tmp_path / "train")
    labels = {image.label for image in labelled_folder(tmp_path)}
    assert labels == {"", "test", "train", "val"}, "folders of pictures may have these names too"


def test_a_name_that_is_not_text(picture_folder: Path, tmp_path: Path, encoder: ImageEncoder) -> None:
    name = os.fsdecode(b"caf\xe9")
    try:
        (tmp_path / "in" / name).mkdir(parents=True)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    shutil.copy(picture_folder / "cat/0.png", tmp_path / "in" / name / "0.png")
    build_knowledge_base(labelled_folder(tmp_path / "in"), tmp_path / "KB", encoder)
    with KnowledgeBase.open(tmp_path / "KB") as knowledge_base:
        assert knowledge_base.labels() == {r"caf\xe9": 1}


def test_no_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        labelled_folder(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"no images in it; pictures end in \.bmp"):
        labelled_folder(tmp_path)


def test_unreadable_pictures_are_skipped_counted_and_named(
    picture_folder: Path, tmp_path: Path, encoder: ImageEncoder
) -> None:
    folder = Path(shutil.copytree(picture_folder, tmp_path / "in"))
    whole = (folder / "boat/1.png").read_bytes()
    (folder / "boat/1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cat/2.png").write_bytes(b"")

    report = build_knowledge_base(labelled_folder(folder), tmp_path / "KB", encoder, batch_size=5)

    assert report.num_entries == 10
    assert [reason.split(":")[0] for reason in report.skipped] == ["boat/1.png", "cat/2.png"]
    with KnowledgeBase.open(tmp_path / "KB") as knowledge_base:
        assert knowledge_base.verify() == []
        assert knowledge_base.labels() == {"apple": 4, "boat": 3, "cat": 3}


def test_nothing_readable_is_an_error_and_leaves_nothing(tmp_path: Path, encoder: ImageEncoder) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"none of 1 pictures could be read; the first: a\.png"):
        build_knowledge_base(labelled_folder(tmp_path / "in"), tmp_path / "KB", encoder)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_arrays_and_bytes_in_memory(
    tmp_path: Path, encoder: ImageEncoder, pictures: dict[str, RGBImage], picture_folder: Path
) -> None:
    images = [
        LabelledImage("cat", "array", pictures["cat/0.png"]),
        LabelledImage("cat", "scan.png", (picture_folder / "cat/0.png").read_bytes()),
        LabelledImage("", "no suffix", (picture_folder / "boat/0.png").read_bytes()),
    ]
    build_knowledge_base(iter(images), tmp_path / "KB", encoder, num_images=3)
    with KnowledgeBase.open(tmp_path / "KB") as knowledge_base:
        assert knowledge_base.verify() == []
        assert [record.image_suffix for record in knowledge_base.records()] == [".png", ".png", ".img"]
        _, scores = knowledge_base.search(encoder.encode([pictures["cat/0.png"]]), num_matches=2)
        np.testing.assert_allclose(scores, 1.0, atol=1e-6)


def test_pictures_of_every_kind(tmp_path: Path, encoder: ImageEncoder) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    colour.resize((1, 1)).save(folder / "1-tiny.png")
    colour.convert("L").save(folder / "2-grey.png")
    colour.convert("P").save(folder / "3-palette.gif")
    colour.convert("RGBA").save(folder / "4-alpha.png")
    colour.save(folder / "5-rotated.jpg", exif=exif)
    Image.new("RGB", (12_000, 30)).save(folder / "6-wide.png")

    assert build_knowledge_base(labelled_folder(folder), tmp_path / "KB", encoder).skipped == []
    with KnowledgeBase.open(tmp_path / "KB") as knowledge_base:
        sizes = [(record.width_px, record.height_px) for record in knowledge_base.records()]
    assert sizes == [(1, 1), (40, 30), (40, 30), (40, 30), (30, 40), (12_000, 30)]


def test_a_picture_that_comes_twice_is_stored_once(tmp_path: Path, encoder: ImageEncoder, picture_folder: Path) -> None:
    image = picture_folder / "cat/0.png"
    build_knowledge_base(
        [LabelledImage("a", "x.png", image), LabelledImage("b", "y.png", image)], tmp_path / "KB", encoder
    )
    assert sum(path.is_file() for path in (tmp_path / "KB" / "images").rglob("*")) == 1


def test_an_existing_one_is_replaced_only_when_asked(
    kb_folder: Path, encoder: ImageEncoder, picture_folder: Path
) -> None:
    images = labelled_folder(picture_folder)[:2]
    with pytest.raises(KnowledgeBaseError, match="is a knowledge base already; replace it with --force"):
        build_knowledge_base(images, kb_folder, encoder)
    with KnowledgeBase.open(kb_folder) as old:
        build_knowledge_base(images, kb_folder, encoder, replace=True)
        assert old.record(7).entry_id == 7, "a receiver that has the old one open keeps its records"
    with KnowledgeBase.open(kb_folder) as new:
        assert new.num_entries == 2
    assert temporary_folders(kb_folder) == []


def test_a_failed_replacement_leaves_the_old_one(kb_folder: Path, encoder: ImageEncoder) -> None:
    with pytest.raises(ImageError):
        build_knowledge_base([LabelledImage("", "bad", b"no picture")], kb_folder, encoder, replace=True)
    assert is_whole(kb_folder)
    assert temporary_folders(kb_folder) == []


def test_where_folders_cannot_be_exchanged_the_old_one_stays(
    kb_folder: Path, encoder: ImageEncoder, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renameat2(*_: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(renameat2=renameat2))
    with pytest.raises(KnowledgeBaseError, match=r"cannot be replaced in one step here .*remove it first"):
        build_knowledge_base(labelled_folder(picture_folder)[:2], kb_folder, encoder, replace=True)
    with KnowledgeBase.open(kb_folder) as old:
        assert old.num_entries == 12


@pytest.mark.parametrize("replace", [False, True])
def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path, encoder: ImageEncoder, replace: bool) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(KnowledgeBaseError, match="exists and is not a knowledge base"):
        build_knowledge_base([], tmp_path, encoder, replace=replace)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path: Path, encoder: ImageEncoder, picture_folder: Path) -> None:
    (tmp_path / "KB").mkdir()
    build_knowledge_base(labelled_folder(picture_folder), tmp_path / "KB", encoder)
    assert is_whole(tmp_path / "KB")


def test_a_target_that_cannot_be_written(tmp_path: Path, encoder: ImageEncoder, picture_folder: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KnowledgeBaseError, match="cannot be written, nothing there has changed"):
        build_knowledge_base(labelled_folder(picture_folder), tmp_path / "file" / "KB", encoder)


@pytest.mark.process
def test_a_killed_build_leaves_no_half_and_the_next_one_cleans_up(
    tmp_path: Path, picture_folder: Path, model_set: ModelSet, encoder: ImageEncoder
) -> None:
    target = tmp_path / "KB"
    kill_half_way(picture_folder, target, model_set)
    assert not target.exists()
    assert len(temporary_folders(target)) == 1

    build_knowledge_base(labelled_folder(picture_folder), target, encoder)

    assert is_whole(target)
    assert temporary_folders(target) == []


@pytest.mark.process
def test_a_killed_replacement_leaves_the_old_one(kb_folder: Path, picture_folder: Path, model_set: ModelSet) -> None:
    kill_half_way(picture_folder, kb_folder, model_set)
    assert is_whole(kb_folder)


@pytest.mark.process
def test_a_build_that_still_runs_is_left_alone(
    tmp_path: Path, picture_folder: Path, model_set: ModelSet, encoder: ImageEncoder
) -> None:
    target = tmp_path / "KB"
    with half_built(picture_folder, target, model_set) as builder:
        build_knowledge_base(labelled_folder(picture_folder)[:3], target, encoder)
        builder.communicate("go on\n")
        assert builder.returncode == 0
    with KnowledgeBase.open(target) as knowledge_base:
        assert knowledge_base.num_entries == 12
        assert knowledge_base.verify() == []


@pytest.mark.process
def test_ctrl_c_leaves_nothing(tmp_path: Path, picture_folder: Path, model_set: ModelSet) -> None:
    target = tmp_path / "KB"
    with half_built(picture_folder, target, model_set) as builder:
        builder.send_signal(signal.SIGINT)
        assert builder.wait() != 0
    assert list(tmp_path.iterdir()) == []
