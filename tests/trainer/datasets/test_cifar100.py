"""CIFAR-100: the archive's layout, and everything that can be wrong with a download."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from semlink.cache import cache_folder
from semlink.errors import DatasetError
from tests.support.file_server import FileServer
from trainer.datasets import cifar100, open_dataset
from trainer.datasets.cifar100 import paper_train_split

NUM_IMAGES = {"train": 400, "test": 200}
REAL_NUM_IMAGES = cifar100.NUM_IMAGES
REAL_DATA = Path(os.environ.get("SEMLINK_DATA", "nowhere"))
CLASSES = [f"class{number:02}" for number in range(100)]


def make_split(num_images: int) -> bytes:
    rng = np.random.default_rng(num_images)
    records = rng.integers(0, 256, (num_images, 3074), dtype=np.uint8)
    records[:, 0] = 7
    records[:, 1] = np.arange(num_images) % 100
    return records.tobytes()


FILES = {
    "cifar-100-binary/fine_label_names.txt": "\n".join(CLASSES).encode(),
    "cifar-100-binary/train.bin": make_split(NUM_IMAGES["train"]),
    "cifar-100-binary/test.bin": make_split(NUM_IMAGES["test"]),
}


def make_archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SEMLINK_DATA", raising=False)
    monkeypatch.setattr(cifar100, "NUM_IMAGES", NUM_IMAGES)


def unpack(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / "cifar-100-binary"


def publish(monkeypatch: pytest.MonkeyPatch, url: str, content: bytes) -> None:
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    monkeypatch.setattr(cifar100, "ARCHIVE", replace(cifar100.ARCHIVE, url=url, digest=digest))


def test_records_become_rgb_images(tmp_path: Path) -> None:
    folder = unpack(tmp_path)
    for data_folder in (folder, tmp_path):
        dataset = open_dataset("cifar100", data_folder=data_folder)
        assert dataset.train is not None
        assert (len(dataset.sent), len(dataset.knowledge_base), len(dataset.train)) == (100, 100, 400)
    assert dataset.sent.names[1] == "test-00001"
    assert dataset.knowledge_base.names[0] == "test-00100"
    assert dataset.knowledge_base.labels[0] == dataset.sent.labels[0] == "class00"
    record = FILES["cifar-100-binary/test.bin"][3074 : 2 * 3074]
    image = dataset.sent.image(1)
    assert image.shape == (32, 32, 3)
    for row, column, channel in ((0, 0, 0), (5, 9, 1), (31, 30, 2)):
        assert image[row, column, channel] == record[2 + channel * 1024 + row * 32 + column]


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack(tmp_path)
    monkeypatch.setenv("SEMLINK_DATA", str(tmp_path))
    assert len(open_dataset("cifar100").sent) == 100


def test_downloaded_once_and_unpacked(monkeypatch: pytest.MonkeyPatch, file_server: FileServer) -> None:
    file_server.content = make_archive({**FILES, "../outside": b"must not be unpacked"})
    publish(monkeypatch, file_server.url("cifar-100-binary.tar.gz"), file_server.content)
    assert len(open_dataset("cifar100").sent) == 100
    assert len(open_dataset("cifar100").sent) == 100
    assert file_server.num_requests == 1
    left = sorted(path.name for path in cache_folder().rglob("*"))
    assert left == ["cifar-100-binary", "fine_label_names.txt", "test.bin", "train.bin"]


def test_a_failed_download_is_a_dataset_error(monkeypatch: pytest.MonkeyPatch, file_server: FileServer) -> None:
    publish(monkeypatch, file_server.url("cifar-100-binary.tar.gz"), b"something else")
    with pytest.raises(DatasetError, match=r"the md5 of the downloaded file is not .*cache/cifar-100-binary\.tar\.gz"):
        open_dataset("cifar100")
    assert list(cache_folder().iterdir()) == []


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(make_archive(FILES)[:-1000])
    with pytest.raises(DatasetError, match=r"cifar-100-binary\.tar\.gz: md5 is .* truncated .* download it again"):
        open_dataset("cifar100", data_folder=tmp_path)


def test_an_archive_without_the_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = make_archive({"cifar-100-binary/readme": b""})
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(content)
    publish(monkeypatch, cifar100.ARCHIVE.url, content)
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        open_dataset("cifar100", data_folder=tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("test.bin", FILES["cifar-100-binary/test.bin"][:-1], r"test\.bin: 614799 bytes, expected 614800; delete"),
        ("test.bin", bytes([0, 100] * (200 * 1537)), "labels up to 100, expected 100 and 99"),
        ("fine_label_names.txt", b"cat dog", "2 class names"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, file: str, content: bytes, message: str) -> None:
    (unpack(tmp_path) / file).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        open_dataset("cifar100", data_folder=tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (unpack(tmp_path) / "train.bin").unlink()
    with pytest.raises(DatasetError, match=r"train\.bin: No such file.*unpack http"):
        open_dataset("cifar100", data_folder=tmp_path)


def test_the_papers_split_of_the_training_set() -> None:
    parts = paper_train_split(50_000, seed=1)
    assert [len(part) for part in parts] == [40_000, 5_000, 5_000]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(50_000))
    again, other = paper_train_split(50_000, seed=1), paper_train_split(50_000, seed=2)
    assert all((part == same).all() for part, same in zip(parts, again, strict=True))
    assert (parts[1] != other[1]).any()


@pytest.mark.skipif(
    not (REAL_DATA / "cifar-100-binary" / "test.bin").is_file(), reason="SEMLINK_DATA has no cifar-100-binary folder"
)
def test_the_real_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar100, "NUM_IMAGES", REAL_NUM_IMAGES)
    dataset = open_dataset("cifar100", data_folder=REAL_DATA)
    assert dataset.train is not None
    assert (len(dataset.sent), len(dataset.knowledge_base), len(dataset.train)) == (5_000, 5_000, 50_000)
    for images in (dataset.sent, dataset.knowledge_base, dataset.train):
        _, counts = np.unique(images.labels, return_counts=True)
        assert len(counts) == 100
        assert len(set(counts.tolist())) == 1
    channel_means = np.mean([dataset.train.image(index).mean((0, 1)) for index in range(0, 50_000, 25)], axis=0) / 255
    # Published means of CIFAR-100's channels; every 25th image, so to a hundredth.
    np.testing.assert_allclose(channel_means, [0.5071, 0.4865, 0.4409], atol=0.01)
