"""Sent images beside what came back, for the page and for the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edge_rx.kb.knowledge_base import KnowledgeBase
from semlink.errors import ImageError
from semlink.image import load_image
from trainer.demo.measure import Retrieval
from trainer.demo.report import DatasetRun
from trainer.demo.stills import Still, smallest_still

__all__ = ["MAX_SIDE_PX", "Gallery", "ShownImage", "ShownMatch", "make_gallery"]

MAX_SIDE_PX = 320
"""Longer side of a shown picture; smaller ones keep their size."""
_MIN_PHOTOGRAPH_PX = 128
"""Longer side from which on a picture is shown large, beside its still."""
_NUM_PHOTOGRAPHS, _NUM_SMALL = 6, 8


@dataclass(frozen=True, eq=False)
class ShownMatch:
    """What came back at one SNR; `picture` is None if its file cannot be read."""

    snr_db: float
    picture: Image.Image | None
    found: Retrieval


@dataclass(frozen=True, eq=False)
class ShownImage:
    """A sent image, its matches by SNR, and the still of it that a person would recognize, if it is a photograph."""

    label: str
    picture: Image.Image | None
    matches: Sequence[ShownMatch]
    still: Still | None


@dataclass(frozen=True, eq=False)
class Gallery:
    """Some images of a dataset, with the first codec at its first rate.

    Attributes
    ----------
    codec, rate, num_symbols : of the matches
    are_photographs : whether all are large enough to be shown beside their stills
    """

    codec: str
    rate: str
    num_symbols: int
    images: Sequence[ShownImage]
    are_photographs: bool


def make_gallery(run: DatasetRun, *, categories: Sequence[str] = ()) -> Gallery:
    """Choose images among those that were received at every SNR, and read their pictures.

    Parameters
    ----------
    categories : to show the first image of; images at even distances are shown if the dataset has none of them
    """
    head = run.report.cells[0]
    by_snr = {
        cell.snr_db: {found.sent_name: found for found in retrievals}
        for cell, retrievals in zip(run.report.cells, run.retrievals, strict=True)
        if (cell.codec, cell.rate) == (head.codec, head.rate)
    }
    names = sorted(set.intersection(*({*found} for found in by_snr.values())))
    labels = {found.sent_name: found.sent_label for found in run.retrievals[0]}
    first_of = {labels[name]: name for name in reversed(names)}
    named = [first_of[category] for category in categories if category in first_of]
    photographs = named or _spread(names, _NUM_PHOTOGRAPHS)
    sent = {name: _read(Path(name)) for name in photographs}
    are_photographs = bool(sent) and all(
        picture is not None and max(picture.size) >= _MIN_PHOTOGRAPH_PX for picture in sent.values()
    )
    chosen = photographs if are_photographs or named else _spread(names, _NUM_SMALL)
    with KnowledgeBase.open(run.knowledge_base) as kb:
        images = [_shown(name, by_snr, kb, with_still=are_photographs) for name in chosen]
    return Gallery(head.codec, head.rate, head.num_symbols, images, are_photographs)


def _spread(names: Sequence[str], num_names: int) -> list[str]:
    return [names[i] for i in np.linspace(0, len(names) - 1, min(num_names, len(names))).astype(int)]


def _shown(
    name: str, by_snr: Mapping[float, Mapping[str, Retrieval]], kb: KnowledgeBase, *, with_still: bool
) -> ShownImage:
    matches = [
        ShownMatch(snr_db, _read(kb.image_path(kb.record(found[name].entry_id))), found[name])
        for snr_db, found in by_snr.items()
    ]
    picture = _read(Path(name))
    still = smallest_still(picture) if with_still and picture is not None else None
    return ShownImage(matches[0].found.sent_label, picture, matches, still)


def _read(path: Path) -> Image.Image | None:
    try:
        picture = Image.fromarray(load_image(path, min_side_px=MAX_SIDE_PX))
    except ImageError:
        return None  # removed since it was sent or retrieved; its label is still shown
    picture.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
    return picture
