"""Build a knowledge base from images.

The work happens in a hidden folder beside the target, which takes the target's name in one step
when all of it is on disk: a reader of the target sees no knowledge base, the old one, or the new
one, even if the builder is killed.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from sqlite3 import DatabaseError
from typing import TypeAlias

import numpy as np
from rich.progress import Progress

from edge_rx.kb.codebooks import add_codebook, keep_codebooks
from edge_rx.kb.images import ImageStore, encode_png, image_suffix
from edge_rx.kb.index import FlatIndex
from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.kb.manifest import (
    IMAGES_FOLDER,
    INDEX_FILE,
    MANIFEST_FILE,
    RECORDS_FILE,
    Manifest,
    write_manifest,
)
from edge_rx.kb.project import add_projected_vectors, load_projections
from edge_rx.kb.records import Record, RecordTable
from edge_rx.kb.storage import exchange_folders, is_locked, lock_folder, lock_whatever_is_there, sync_tree
from engines.models.codecs import Codec
from engines.models.image_encoder import ImageEncoder
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.cli.output import stderr_console
from semlink.cli.progress import progress_bars
from semlink.errors import ConfigError, ImageError, KnowledgeBaseError
from semlink.files import file_sha256, sync_path
from semlink.image import RGBImage, image_files, load_image, preprocess
from semlink.machine import now_utc

__all__ = ["BuildReport", "CodebookMaker", "LabelledImage", "build_knowledge_base", "labelled_folder"]

CodebookMaker: TypeAlias = Callable[[KnowledgeBase, Callable[[float], None]], KnowledgeBaseCodebook]
"""Makes the codebook of a knowledge base and reports its progress, 0..1; see `edge_rx.codebook.knowledge_base`."""

_PARTS = frozenset({"train", "test", "val", "valid", "validation"})
"""Folders that are parts of a dataset and no labels, where all of them hold class folders."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """A picture on its way into a knowledge base.

    Attributes
    ----------
    label : category, "" where none is known
    source : name to remember it by
    image : a file, an encoded file's bytes, or (height, width, 3) uint8 RGB
    """

    label: str
    source: str
    image: Path | bytes | RGBImage


@dataclass
class BuildReport:
    """What a build did: the entries it made, those without a label, and each picture that it could not read."""

    num_entries: int = 0
    num_unlabelled: int = 0
    skipped: list[str] = field(default_factory=list)


def labelled_folder(folder: Path) -> list[LabelledImage]:
    """Every picture under a folder, in the order of their paths.

    A picture's label is the first folder on its path: a folder of class folders is labelled by
    class, a flat folder not at all. Hidden files and folders are left out.

    Raises
    ------
    ConfigError
        If the folder does not exist, holds no file that is named like a picture, or is a dataset of train/<class> and
        test/<class>, of which one part makes the knowledge base.
    """
    names = [(path.relative_to(folder), path) for path in image_files(folder)]
    within = [name for name, _ in names if len(name.parts) > 1]
    if {"train", "test"} <= {name.parts[0] for name in within} <= _PARTS and min(
        len(name.parts) for name in within
    ) > 2:
        raise ConfigError(f"{folder}: holds train/ and test/; name one of them, whose folders are the labels")
    return [
        LabelledImage(_text(name.parts[0]) if len(name.parts) > 1 else "", _text(name.as_posix()), path)
        for name, path in names
    ]


def build_knowledge_base(
    images: Iterable[LabelledImage],
    target: Path,
    encoder: ImageEncoder,
    *,
    codecs: Sequence[Codec] = (),
    codebook_maker: CodebookMaker | None = None,
    replace: bool = False,
    batch_size: int = 32,
    num_images: int | None = None,
    show_progress: bool = False,
) -> BuildReport:
    """Encode pictures and put them into a new knowledge base.

    A picture that cannot be read is skipped, logged and named in the report. Where some pictures have labels, the log
    says how many have none.

    Parameters
    ----------
    images : see `labelled_folder`
    target : folder to make
    encoder : gives the vectors; the knowledge base is bound to its fingerprint
    codecs : codecs whose projected vectors are added, where they have a projection head
    codebook_maker : makes the codebook of `adapted`, such as `edge_rx.codebook.knowledge_base.codebook_of`; None for a
        knowledge base without one
    replace : replace an existing knowledge base; with a codebook of its own, the new one keeps the old one's last few
    batch_size : pictures in one call of the encoder
    num_images : number of images for the progress bar; None if `images` has a length or it is unknown
    show_progress : draw a progress bar on stderr

    Raises
    ------
    ConfigError
        If there is not one readable picture.
    KnowledgeBaseError
        If `target` exists and may not be replaced, or cannot be written; nothing has changed then.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
    target = target.resolve()
    _check_target(target, replace=replace)
    # What can fail without touching the disk comes first.
    index, projections = FlatIndex(encoder.feature_dim), load_projections(codecs)
    bar = progress_bars(stderr_console(), transient=True) if show_progress else Progress(disable=True)
    try:
        with _staging_folder(target) as folder, bar:
            tracked = bar.track(images, total=num_images, description="building the knowledge base")
            report = _fill(folder, tracked, encoder, index, batch_size)
            with KnowledgeBase.open(folder) as knowledge_base:
                add_projected_vectors(knowledge_base, projections)
                if codebook_maker is not None:
                    task = bar.add_task("making the codebook", total=1.0)
                    codebook = codebook_maker(knowledge_base, lambda share: bar.update(task, completed=share))
                    add_codebook(folder, codebook)
            _put_in_place(folder, target, replace=replace)
    except (OSError, DatabaseError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise KnowledgeBaseError(f"{target}: cannot be written, nothing there has changed: {reason}") from None
    return report


def _check_target(target: Path, *, replace: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / MANIFEST_FILE).is_file():
        raise KnowledgeBaseError(f"{target}: exists and is not a knowledge base; give another name")
    if not replace:
        raise KnowledgeBaseError(f"{target}: is a knowledge base already; replace it with --force or give another name")


@contextmanager
def _staging_folder(target: Path) -> Iterator[Path]:
    """Yield a locked folder beside `target`, after removing those of killed builds; remove it at the end."""
    parent = target.parent
    parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.building-"
    # Locked, so that no process mistakes a folder that is not locked yet for one of a killed build.
    guard = lock_folder(parent)
    try:
        for abandoned in parent.iterdir():
            if abandoned.name.startswith(prefix) and not is_locked(abandoned):
                _log.info("removing the folder of a killed build: %s", abandoned)
                shutil.rmtree(abandoned)
        folder = parent / f"{prefix}{os.getpid()}"
        folder.mkdir()
        lock = lock_folder(folder)
    finally:
        os.close(guard)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _put_in_place(folder: Path, target: Path, *, replace: bool) -> None:
    sync_tree(folder)
    if replace and target.exists():
        # Wait for a process that adds vectors or a codebook to the old one, which goes with the staging folder.
        lock = lock_whatever_is_there(target)
        try:
            keep_codebooks(target, folder)
            exchange_folders(folder, target)
        finally:
            os.close(lock)
    else:
        folder.rename(target)
    sync_path(target.parent)


def _fill(
    folder: Path, images: Iterable[LabelledImage], encoder: ImageEncoder, index: FlatIndex, batch_size: int
) -> BuildReport:
    report = BuildReport()
    store = ImageStore(folder / IMAGES_FOLDER)
    readable = _read(images, encoder, store, report)
    with closing(RecordTable.create(folder / RECORDS_FILE)) as records:
        while batch := list(islice(readable, batch_size)):
            index.add(encoder.encode([picture for _, picture in batch]))
            records.add(record for record, _ in batch)
            report.num_unlabelled += sum(not record.label for record, _ in batch)
        records.commit()
    report.num_entries = len(index)
    if not report.num_entries:
        if not report.skipped:
            raise ConfigError("no images to build from")
        raise ImageError(f"none of {len(report.skipped)} pictures could be read; the first: {report.skipped[0]}")
    if 0 < report.num_unlabelled < report.num_entries:
        _log.warning(
            "%d of %d images without a label: they lie outside of the class folders, and become entries all the same",
            report.num_unlabelled,
            report.num_entries,
        )
    index.save(folder / INDEX_FILE)
    write_manifest(
        folder,
        Manifest(
            encoder_name=encoder.name,
            encoder_fingerprint=encoder.fingerprint,
            feature_dim=encoder.feature_dim,
            num_entries=report.num_entries,
            created=now_utc(),
            index_sha256=file_sha256(folder / INDEX_FILE),
            records_sha256=file_sha256(folder / RECORDS_FILE),
        ),
    )
    return report


def _read(
    images: Iterable[LabelledImage], encoder: ImageEncoder, store: ImageStore, report: BuildReport
) -> Iterator[tuple[Record, RGBImage]]:
    """Store each readable picture; give its record, and the picture at the encoder's size.

    Shrunk here, so that a batch of large pictures is not held at full size.
    """
    entry_id = 0
    for item in images:
        try:
            data, suffix = _encoded(item)
            image = load_image(data)
        except (ImageError, OSError) as error:
            reason = f"{item.source}: {error.strerror if isinstance(error, OSError) else error}"
            _log.warning("skipped %s", reason)
            report.skipped.append(reason)
            continue
        height_px, width_px = image.shape[:2]
        sha256 = store.add(data, suffix)
        yield (
            Record(entry_id, item.label, item.source, sha256, suffix, width_px, height_px, time.time()),
            preprocess(image, encoder.preprocessing),
        )
        entry_id += 1


def _encoded(item: LabelledImage) -> tuple[bytes, str]:
    """Give the bytes to store, and their file's ending."""
    if isinstance(item.image, np.ndarray):
        return encode_png(item.image), ".png"
    return item.image if isinstance(item.image, bytes) else item.image.read_bytes(), image_suffix(item.source)


def _text(name: str) -> str:
    """Make a file name's undecodable bytes visible; a database takes only text."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
