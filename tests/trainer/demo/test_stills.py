"""Stills: the bytes that are counted, and the symbols that they need."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image, features

from semlink.errors import ImageError
from trainer.demo.stills import (
    LONGER_SIDE_PX,
    avif_data_bytes,
    carried_bytes,
    jpeg_scan_bytes,
    needed_symbols,
    smallest_still,
)


@pytest.fixture
def picture() -> Image.Image:
    """A smooth picture of 300 x 200 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((300, 200), Image.Resampling.BICUBIC)


def jpeg(picture: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=50, **options)
    return buffer.getvalue()


def test_a_still_is_a_small_thumbnail(picture: Image.Image) -> None:
    still = smallest_still(picture)
    assert still.picture.size == (LONGER_SIDE_PX, round(LONGER_SIDE_PX * 2 / 3))
    assert 10 < still.num_bytes < 400
    assert str(still.quality) in still.description
    thumbnail = np.asarray(picture.resize(still.picture.size, Image.Resampling.LANCZOS), dtype=np.float32)
    assert np.abs(np.asarray(still.picture, dtype=np.float32) - thumbnail).mean() < 25
    assert picture.size == (300, 200)


def test_a_smaller_picture_is_not_enlarged(picture: Image.Image) -> None:
    assert smallest_still(picture.resize((20, 10))).picture.size == (20, 10)


@pytest.mark.skipif(not features.check("avif"), reason="needs a Pillow with AVIF")
def test_the_format_of_fewest_bytes_is_taken(picture: Image.Image) -> None:
    thumbnail = picture.copy()
    thumbnail.thumbnail((LONGER_SIDE_PX, LONGER_SIDE_PX), Image.Resampling.LANCZOS)
    sizes = {}
    for file_format, quality, count in (("JPEG", 10, jpeg_scan_bytes), ("AVIF", 20, avif_data_bytes)):
        buffer = io.BytesIO()
        thumbnail.save(buffer, file_format, quality=quality)
        sizes[file_format] = count(buffer.getvalue())
        assert 0 < sizes[file_format] < len(buffer.getvalue())
    still = smallest_still(picture)
    assert (still.file_format, still.num_bytes) == min(sizes.items(), key=lambda item: item[1])


def test_metadata_of_a_jpeg_file_are_not_counted(picture: Image.Image) -> None:
    with_comment = jpeg(picture, comment=b"x" * 500)
    assert len(with_comment) > len(jpeg(picture)) + 500
    assert jpeg_scan_bytes(with_comment) == jpeg_scan_bytes(jpeg(picture))


def test_the_scan_is_what_follows_its_header(picture: Image.Image) -> None:
    data = jpeg(picture)
    start = data.index(b"\xff\xda")
    header_bytes = 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    assert jpeg_scan_bytes(data) == len(data) - start - header_bytes - 2
    with pytest.raises(ImageError, match="no scan"):
        jpeg_scan_bytes(data[:start])


@pytest.mark.parametrize(
    ("file", "num_bytes"),
    [
        (b"\0\0\0\x0cftypavif" + b"\0\0\0\x0dmdatabcde", 5),
        (b"\0\0\0\x0bmdatabc" + b"\0\0\0\x08free" + b"\0\0\0\x09mdatd", 4),
        (b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x12ab", 2),
        (b"\0\0\0\0mdatabcdefg", 7),
        (b"\0\0\0\x08ftyp", 0),
    ],
)
def test_media_data_of_an_avif_file(file: bytes, num_bytes: int) -> None:
    assert avif_data_bytes(file) == num_bytes


def test_a_box_that_is_shorter_than_its_header() -> None:
    with pytest.raises(ImageError, match="shorter than its header"):
        avif_data_bytes(b"\0\0\0\x04mdat")


@pytest.mark.parametrize(("snr_db", "bits"), [(-7.0, 0.2625), (0.0, 1.0), (10.0, 3.4594)])
def test_symbols_carry_what_the_channel_can(snr_db: float, bits: float) -> None:
    """Bits of a symbol at the capacity of AWGN, from a table."""
    assert carried_bytes(80_000, snr_db) == pytest.approx(10_000 * bits, rel=1e-3)
    assert needed_symbols(1_000, snr_db) == pytest.approx(8_000 / bits, rel=1e-3)
    for num_bytes in (1, 7, 300):
        needed = needed_symbols(num_bytes, snr_db)
        assert carried_bytes(needed, snr_db) >= num_bytes > carried_bytes(needed - 1, snr_db)
    assert carried_bytes(64, -7.0) == math.floor(64 * 0.2625 / 8)
