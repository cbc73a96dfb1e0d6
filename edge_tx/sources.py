"""Where images come from: a folder, a list, a folder that is being filled, a video or camera.

A source is an iterator of `SourceImage`. A picture that cannot be read is counted, named and
skipped, so that no file on a camera's card stops a transmitter.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from semlink.errors import ConfigError, ImageError, packages_of
from semlink.image import IMAGE_SUFFIXES, LoadedImage, image_files, read_image

__all__ = [
    "SkippedImages",
    "SourceImage",
    "folder_images",
    "is_live_video",
    "listed_images",
    "video_images",
    "watched_images",
]

_log = logging.getLogger(__name__)

_LIVE_PREFIXES = ("/dev/", "rtsp://", "rtmp://", "udp://")
_LIVE_ELEMENTS = ("v4l2src", "nvarguscamerasrc", "libcamerasrc", "rtspsrc")
"""GStreamer elements whose stream has no end."""


class StopFlag(Protocol):
    """Flag that ends a watch: `semlink.interrupt.Interruption`, or a threading.Event."""

    def is_set(self) -> bool:
        """Whether to end."""
        ...


@dataclass(frozen=True, eq=False)
class SourceImage:
    """An image in memory, its name, and its capture time.

    Attributes
    ----------
    image : pixels, and the size of the picture that they come from
    capture_time_ns : Unix time [ns]
    """

    name: str
    image: LoadedImage
    capture_time_ns: int


@dataclass
class SkippedImages:
    """Counts the images that could not be read; keeps the first `max_reasons` reasons to show."""

    count: int = 0
    reasons: list[str] = field(default_factory=list)
    max_reasons: int = 20

    def add(self, error: ImageError) -> None:
        """Count one picture, and log its error."""
        self.count += 1
        _log.warning("skipped %s", error)
        if len(self.reasons) < self.max_reasons:
            self.reasons.append(str(error))

    def take_back(self, error: ImageError) -> None:
        """Uncount a picture: it was not whole yet, and is tried again."""
        self.count -= 1
        if str(error) in self.reasons:
            self.reasons.remove(str(error))


def folder_images(folder: Path, skipped: SkippedImages, *, min_side_px: int) -> Iterator[SourceImage]:
    """Every picture under a folder, in the order of their paths.

    Raises
    ------
    ConfigError
        If the folder does not exist or holds no file that is named like a picture.
    """
    return _read_all(image_files(folder), skipped, min_side_px=min_side_px)


def listed_images(list_file: Path, skipped: SkippedImages, *, min_side_px: int) -> Iterator[SourceImage]:
    """The pictures that a text file names, one path a line, relative to the file; # starts a comment.

    Raises
    ------
    ConfigError
        If the list cannot be read or names nothing.
    """
    if list_file.suffix.lower() in IMAGE_SUFFIXES:
        raise ConfigError(f"{list_file}: is an image; give its folder, or a text file that names it")
    try:
        lines = list_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{list_file}: not a readable list of paths: {error}") from None
    names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not names:
        raise ConfigError(f"{list_file}: names no images; write one path a line")
    return _read_all((list_file.parent / name for name in names), skipped, min_side_px=min_side_px)


def watched_images(
    folder: Path, skipped: SkippedImages, *, min_side_px: int, stop: StopFlag | None = None
) -> Iterator[SourceImage]:
    """Every picture that appears in a folder from now on, in the order of appearance; never ends by itself.

    A file is tried whenever it changes, and sent when it can be read whole: one that is still being
    written is truncated and waits for its next change, one that is overwritten is sent again. A file that cannot be
    read counts as skipped, once. Give a camera's writer a rename into the folder and each picture is read exactly once.

    Parameters
    ----------
    stop : ends the iteration when set
    """
    with packages_of("tx", purpose="watching a folder"):
        import watchfiles
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")

    sent: dict[Path, int] = {}
    unread: dict[Path, ImageError] = {}

    def appearing() -> Iterator[SourceImage]:
        for changes in watchfiles.watch(folder, stop_event=stop, step=20, debounce=200, raise_interrupt=True):
            for kind, name in sorted(changes, key=lambda change: change[1]):
                path = Path(name)
                if kind is watchfiles.Change.deleted:
                    sent.pop(path, None)
                elif not path.name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                    modified_ns = path.stat().st_mtime_ns
                    if sent.get(path) == modified_ns:
                        continue
                    try:
                        yield _read(path, min_side_px)
                    except ImageError as error:
                        if path in unread:
                            skipped.take_back(unread[path])
                        skipped.add(error)
                        unread[path] = error
                    else:
                        sent[path] = modified_ns
                        if path in unread:
                            skipped.take_back(unread.pop(path))

    return appearing()


def video_images(source: str) -> Iterator[SourceImage]:
    """Frames of a video file, a camera ("0" or "/dev/video0") or a GStreamer pipeline ("... ! appsink").

    A file ends; a camera or network stream that gives no more pictures has failed.

    Raises
    ------
    MissingDependencyError, ConfigError
        If OpenCV is missing, or cannot open the source.
    ImageError
        From the iterator, if a live source fails.
    """
    with packages_of("video", purpose=f'reading "{source}"', package="OpenCV"):
        import cv2
    if "!" in source:
        capture = cv2.VideoCapture(source, cv2.CAP_GSTREAMER)
    else:
        capture = cv2.VideoCapture(int(source) if source.isdecimal() else source)
    # A longer queue of the camera would delay every picture by its length.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    if not capture.isOpened():
        hint = "; is this OpenCV built with GStreamer (JetPack's is, PyPI's is not)?" if "!" in source else ""
        raise ConfigError(f'cannot open video "{source}": no such file, camera or pipeline{hint}')

    def grabbed() -> Iterator[SourceImage]:
        try:
            for index in itertools.count():
                is_picture, picture = capture.read()
                if not is_picture:
                    if is_live_video(source):
                        raise ImageError(f'"{source}" gave no picture after {index}; is the source still connected?')
                    return
                capture_time_ns = time.time_ns()
                pixels = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
                yield SourceImage(f"{source}#{index}", LoadedImage(pixels, *pixels.shape[:2]), capture_time_ns)
        finally:
            capture.release()

    return grabbed()


def is_live_video(source: str) -> bool:
    """Whether a video source has no end of its own: a camera or a network stream, also in a pipeline."""
    if "!" in source:
        return any(element in source for element in _LIVE_ELEMENTS)
    return source.isdecimal() or source.startswith(_LIVE_PREFIXES)


def _read_all(paths: Iterable[Path], skipped: SkippedImages, *, min_side_px: int) -> Iterator[SourceImage]:
    for path in paths:
        try:
            yield _read(path, min_side_px)
        except ImageError as error:
            skipped.add(error)


def _read(path: Path, min_side_px: int) -> SourceImage:
    return SourceImage(str(path), read_image(path, min_side_px=min_side_px), time.time_ns())
