"""One picture of a demonstration, to look at without a browser: photographs, what came back, and their stills."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from semlink.errors import ResultsError
from trainer.demo.gallery import Gallery, ShownImage
from trainer.demo.stills import carried_bytes, needed_symbols

__all__ = ["write_picture"]

_NUM_ROWS, _MAX_SNRS = 3, 3
_CELL_PX = (236, 177)
_GAP_PX, _HEADER_PX, _CAPTION_PX = 12, 62, 50
_OUTLINE_PX = 4
_TEXT_PX, _HEADING_PX = 15, 18
_WHITE, _TILE, _TEXT, _FAINT = "#ffffff", "#eef1f5", "#1d2430", "#56606f"
_CORRECT, _INCORRECT = "#23824a", "#cf3434"
_WEBP_QUALITY = 82


def write_picture(gallery: Gallery, path: Path) -> None:
    """Draw the most colourful photographs of a gallery, a row each, and write a WebP file.

    Parameters
    ----------
    gallery : of photographs, at least one

    Raises
    ------
    ResultsError
        If the file cannot be written.
    """
    try:
        _draw(gallery).save(path, "WEBP", quality=_WEBP_QUALITY, method=6)
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror or error}") from None


def _draw(gallery: Gallery) -> Image.Image:
    snr_db = [match.snr_db for match in gallery.images[0].matches]
    columns = [int(i) for i in np.linspace(0, len(snr_db) - 1, min(_MAX_SNRS, len(snr_db)))]
    rows = _most_colourful(gallery.images)
    width, height = _CELL_PX[0] + _GAP_PX, _CELL_PX[1] + _CAPTION_PX
    canvas = Image.new("RGB", (_GAP_PX + (2 + len(columns)) * width, _HEADER_PX + len(rows) * height), _WHITE)
    pen = ImageDraw.Draw(canvas)
    carried = [carried_bytes(gallery.num_symbols, snr_db[column]) for column in columns]
    headings = [
        ("sent", "by the transmitter"),
        *((f"came back at {snr_db[column]:g} dB", f"in {gallery.num_symbols} radio symbols") for column in columns),
        ("as a small still", f"{gallery.num_symbols} symbols carry {_joined(carried)} bytes"),
    ]
    for number, (heading, text) in enumerate(headings):
        _write(pen, (_GAP_PX + number * width, 10), (heading, _TEXT, _HEADING_PX), (text, _FAINT, _TEXT_PX))
    for row, image in enumerate(rows):
        top = _HEADER_PX + row * height
        _paste(canvas, image.picture, (_GAP_PX, top))
        _write(pen, (_GAP_PX, top + _CELL_PX[1] + 4), (_name(image.label), _TEXT, _TEXT_PX))
        for number, column in enumerate(columns, start=1):
            match, corner = image.matches[column], (_GAP_PX + number * width, top)
            _paste(canvas, match.picture, corner, outline=_CORRECT if match.found.is_correct else _INCORRECT)
            colour = _CORRECT if match.found.is_correct else _INCORRECT
            _write(pen, (corner[0], top + _CELL_PX[1] + 4), (_name(match.found.label), colour, _TEXT_PX))
        if (still := image.still) is not None:
            corner = (_GAP_PX + (1 + len(columns)) * width, top)
            _paste(canvas, still.picture, corner)
            needed = [needed_symbols(still.num_bytes, snr_db[column]) for column in columns]
            lines = f"{still.file_format}, {still.num_bytes} bytes: needs", f"{_joined(needed)} symbols"
            _write(pen, (corner[0], top + _CELL_PX[1] + 4), *((line, _TEXT, _TEXT_PX) for line in lines))
    return canvas


def _most_colourful(images: Sequence[ShownImage]) -> list[ShownImage]:
    """Those with the largest mean difference of two colours, in the gallery's order."""

    def colourfulness(number: int) -> float:
        picture = images[number].picture
        return float(np.ptp(np.asarray(picture, dtype=np.float32), axis=2).mean()) if picture is not None else -1.0

    return [images[number] for number in sorted(sorted(range(len(images)), key=colourfulness)[-_NUM_ROWS:])]


def _paste(
    canvas: Image.Image, picture: Image.Image | None, corner: tuple[int, int], *, outline: str | None = None
) -> None:
    cell = Image.new("RGB", _CELL_PX, _TILE)
    if picture is not None:
        fitted = ImageOps.contain(picture, _CELL_PX, Image.Resampling.BICUBIC)
        cell.paste(fitted, ((_CELL_PX[0] - fitted.width) // 2, (_CELL_PX[1] - fitted.height) // 2))
    if outline:
        ImageDraw.Draw(cell).rectangle((0, 0, _CELL_PX[0] - 1, _CELL_PX[1] - 1), outline=outline, width=_OUTLINE_PX)
    canvas.paste(cell, corner)


def _write(pen: ImageDraw.ImageDraw, corner: tuple[int, int], *lines: tuple[str, str, int]) -> None:
    left, top = corner
    for text, colour, size_px in lines:
        pen.text((left, top), text, fill=colour, font=ImageFont.load_default(size_px))
        top += round(1.3 * size_px)


def _name(label: str) -> str:
    return label.replace("_", " ")


def _joined(numbers: Sequence[int]) -> str:
    return " / ".join(f"{number:,}" for number in numbers)
