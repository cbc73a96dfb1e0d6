"""Every kind of picture that a card can hold, and every way to name it."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_tx.sources import SkippedImages, folder_images, is_live_video, listed_images, video_images, watched_images
from semlink.errors import ConfigError, ImageError
from tests.support.deadlines import DEADLINE_S, wait_until


def save(path: Path, size: tuple[int, int] = (20, 10)) -> Path:
    Image.fromarray(np.full((size[1], size[0], 3), 128, np.uint8)).save(path)
    return path


def test_folder_is_read_in_order_and_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    names = [save(tmp_path / name) for name in ("b/2.png", "a.jpg", "c.bmp")]
    (tmp_path / "notes.txt").write_text("no picture")
    images = list(folder_images(tmp_path, SkippedImages(), min_side_px=8))
    assert [image.name for image in images] == sorted(map(str, names))
    assert all(image.image.pixels.shape == (10, 20, 3) and image.capture_time_ns > 0 for image in images)


def test_unreadable_pictures_are_skipped_counted_and_named(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    whole = save(tmp_path / "whole.jpg", (200, 200)).read_bytes()
    (tmp_path / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "whole.jpg").unlink()
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "empty.webp").write_bytes(b"")
    skipped = SkippedImages()
    assert [Path(image.name).name for image in folder_images(tmp_path, skipped, min_side_px=8)] == ["good.png"]
    assert skipped.count == 3
    assert {Path(reason.split(": ")[0]).name for reason in skipped.reasons} == {
        "truncated.jpg",
        "text.png",
        "empty.webp",
    }


def test_reasons_of_an_endless_run_are_bounded(tmp_path: Path) -> None:
    for index in range(6):
        (tmp_path / f"{index}.png").write_bytes(b"x")
    skipped = SkippedImages(max_reasons=2)
    assert list(folder_images(tmp_path, skipped, min_side_px=8)) == []
    assert (skipped.count, len(skipped.reasons)) == (6, 2)


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: (folder / "readme.txt").write_text("hello")])
def test_folder_without_images_is_an_error(tmp_path: Path, make: object) -> None:
    make(tmp_path)  # type: ignore[operator]
    with pytest.raises(ConfigError, match="no images"):
        folder_images(tmp_path, SkippedImages(), min_side_px=8)


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        folder_images(tmp_path / "nowhere", SkippedImages(), min_side_px=8)


def test_list_names_paths_relative_to_itself(tmp_path: Path) -> None:
    save(tmp_path / "one.png")
    other = save(tmp_path / "two.png")
    listing = tmp_path / "list.txt"
    listing.write_text(f"# pictures\n\n{other}\none.png\nmissing.png\n")
    skipped = SkippedImages()
    names = [Path(image.name).name for image in listed_images(listing, skipped, min_side_px=8)]
    assert names == ["two.png", "one.png"]
    assert skipped.count == 1
    assert "missing.png" in skipped.reasons[0]


@pytest.mark.parametrize("content", [b"", b"# only a comment\n", b"\xff\xfe\x00bad"])
def test_list_that_names_nothing_is_an_error(tmp_path: Path, content: bytes) -> None:
    listing = tmp_path / "list.txt"
    listing.write_bytes(content)
    with pytest.raises(ConfigError, match="list"):
        listed_images(listing, SkippedImages(), min_side_px=8)


def test_watched_folder_sends_each_new_picture_once(tmp_path: Path) -> None:
    watched, outside = tmp_path / "watched", tmp_path / "outside"
    watched.mkdir()
    outside.mkdir()
    save(watched / "old.png")
    stop, received, first = threading.Event(), [], threading.Event()

    def watch() -> None:
        for image in watched_images(watched, SkippedImages(), min_side_px=8, stop=stop):
            received.append(Path(image.name).name)
            first.set()

    thread = threading.Thread(target=watch)
    thread.start()
    index = 0

    def is_seen_after_another() -> bool:
        nonlocal index
        os.replace(save(outside / f"{index}.png"), watched / f"{index}.png")
        index += 1
        return first.wait(0.2)

    # The watcher gives no sign that it has begun, so pictures come until it has seen one.
    wait_until(is_seen_after_another)
    first.clear()
    os.replace(save(outside / "last.png"), watched / "last.png")
    while "last.png" not in received:
        assert first.wait(DEADLINE_S)
        first.clear()
    stop.set()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    assert "old.png" not in received
    assert len(received) == len(set(received))


def test_large_jpeg_keeps_the_size_of_its_source(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (1600, 1200)).save(tmp_path / "turned.jpg", exif=exif)
    (source,) = folder_images(tmp_path, SkippedImages(), min_side_px=32)
    assert (source.image.source_height_px, source.image.source_width_px) == (1600, 1200)
    assert source.image.pixels.shape[0] < 1600


def test_side_that_no_header_can_hold_is_skipped(tmp_path: Path) -> None:
    Image.new("L", (70_000, 2)).save(tmp_path / "wide.png")
    skipped = SkippedImages()
    assert list(folder_images(tmp_path, skipped, min_side_px=8)) == []
    assert "65535" in skipped.reasons[0]


def test_watched_picture_that_is_being_written_is_sent_when_whole(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    data = save(tmp_path / "whole.jpg", (300, 300)).read_bytes()
    stop, received, seen = threading.Event(), [], threading.Event()
    skipped = SkippedImages()

    def watch() -> None:
        for image in watched_images(watched, skipped, min_side_px=8, stop=stop):
            received.append(Path(image.name).name)
            seen.set()

    thread = threading.Thread(target=watch)
    thread.start()
    target = watched / "slow.jpg"
    writes = itertools.count()

    def is_skipped() -> bool:
        # The watcher gives no sign that it has begun, so the half is written again, but not before it can be read.
        if next(writes) % 20 == 0:
            target.write_bytes(data[: len(data) // 2])
        return skipped.count > 0

    wait_until(is_skipped)
    target.write_bytes(data)
    assert seen.wait(DEADLINE_S)
    stop.set()
    thread.join(DEADLINE_S)
    assert received == ["slow.jpg"]
    assert (skipped.count, skipped.reasons) == (0, [])


def test_video_file_gives_its_frames(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs semlink[video]")
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write MJPG")
    for level in (0, 120, 240):
        writer.write(np.dstack([np.full((48, 64), value, np.uint8) for value in (0, 0, level)]))  # BGR: red
    writer.release()
    frames = list(video_images(str(path)))
    assert [frame.image.pixels.shape for frame in frames] == [(48, 64, 3)] * 3
    red, green, blue = frames[2].image.pixels.mean(axis=(0, 1))
    assert red > 200
    assert max(green, blue) < 40


@pytest.mark.parametrize("source", ["missing.mp4", "videotestsrc ! nothing ! appsink"])
def test_video_that_cannot_be_opened_is_an_error(source: str, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs semlink[video]")
    with pytest.raises(ConfigError, match="cannot open video"):
        video_images(source if "!" in source else str(tmp_path / source))


class UnpluggedCamera:
    """What OpenCV gives of a camera whose cable is pulled after two pictures."""

    def __init__(self, source: object) -> None:
        self.pictures = [np.zeros((6, 8, 3), np.uint8)] * 2
        self.is_released = False

    def set(self, option: int, value: float) -> bool:
        return True

    def isOpened(self) -> bool:  # noqa: N802  OpenCV's name
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        return (True, self.pictures.pop()) if self.pictures else (False, None)

    def release(self) -> None:
        self.is_released = True


@pytest.mark.parametrize(
    ("source", "is_live"),
    [
        ("0", True),
        ("/dev/video0", True),
        ("rtsp://camera/1", True),
        ("v4l2src device=/dev/video0 ! appsink", True),
        ("filesrc location=clip.mp4 ! decodebin ! appsink", False),
        ("clip.mp4", False),
        ("frames/%03d.png", False),
        ("http://server/clip.mp4", False),
    ],
)
def test_what_has_no_end_of_its_own(source: str, is_live: bool) -> None:
    assert is_live_video(source) == is_live


def test_camera_that_fails_is_an_error_and_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs semlink[video]")
    camera = UnpluggedCamera("/dev/video0")
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: camera)
    frames = video_images("/dev/video0")
    assert [next(frames).image.pixels.shape for _ in range(2)] == [(6, 8, 3)] * 2
    with pytest.raises(ImageError, match="no picture after 2"):
        next(frames)
    assert camera.is_released
