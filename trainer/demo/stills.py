"""What a still picture takes over the same channel: the bytes of a recognizable one, and Shannon's bound of symbols.

The still is a thumbnail, 64 pixels on the longer side, at about the lowest quality at which one still sees what it
shows. Everything is counted in its favour: image data without headers and containers, as if both ends had agreed on
all else, and symbols at the capacity of the channel, which no code reaches at such lengths. Under fading, the capacity
of AWGN at the mean SNR is a bound as well (Jensen's inequality).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, features

from semlink.errors import ImageError

__all__ = [
    "LONGER_SIDE_PX",
    "QUALITIES",
    "Still",
    "avif_data_bytes",
    "carried_bytes",
    "jpeg_scan_bytes",
    "needed_symbols",
    "smallest_still",
]

LONGER_SIDE_PX = 64
QUALITIES = {"JPEG": 10, "AVIF": 20}
"""Of the still in each format, as Pillow names them."""

_START_OF_SCAN, _END_OF_IMAGE_BYTES = 0xDA, 2
_BOX_HEADER_BYTES, _LARGE_BOX_HEADER_BYTES = 8, 16


@dataclass(frozen=True, eq=False)
class Still:
    """A compressed thumbnail.

    Attributes
    ----------
    file_format, quality : as Pillow names them
    num_bytes : image data alone
    picture : the thumbnail as decoded
    """

    file_format: str
    quality: int
    num_bytes: int
    picture: Image.Image

    @property
    def description(self) -> str:
        """Format, size and quality."""
        return f"{self.file_format}, {self.picture.width} x {self.picture.height} pixels, quality {self.quality}"


def smallest_still(picture: Image.Image) -> Still:
    """Compress a picture to a recognizable thumbnail, in the format that takes the fewest bytes.

    Formats are JPEG and, where Pillow has it, AVIF, which is newer than HEVC and compresses stills about as well.
    """
    thumbnail = picture.convert("RGB")
    thumbnail.thumbnail((LONGER_SIDE_PX, LONGER_SIDE_PX), Image.Resampling.LANCZOS)
    stills = [_compress(thumbnail, "JPEG", jpeg_scan_bytes)]
    if features.check("avif"):
        stills.append(_compress(thumbnail, "AVIF", avif_data_bytes))
    return min(stills, key=lambda still: still.num_bytes)


def carried_bytes(num_symbols: int, snr_db: float) -> int:
    """Whole bytes that complex symbols carry at the capacity of AWGN, log2(1 + SNR) bits each.

    Examples
    --------
    >>> carried_bytes(64, snr_db=0.0)
    8
    """
    return math.floor(num_symbols * _bits_per_symbol(snr_db) / 8)


def needed_symbols(num_bytes: int, snr_db: float) -> int:
    """Complex symbols that carry `num_bytes` at that capacity.

    Examples
    --------
    >>> needed_symbols(200, snr_db=0.0)
    1600
    """
    return math.ceil(8 * num_bytes / _bits_per_symbol(snr_db))


def _bits_per_symbol(snr_db: float) -> float:
    return math.log2(1 + 10 ** (snr_db / 10))


def _compress(picture: Image.Image, file_format: str, count: Callable[[bytes], int]) -> Still:
    buffer, quality = io.BytesIO(), QUALITIES[file_format]
    picture.save(buffer, file_format, quality=quality)
    with Image.open(buffer) as decoded:
        return Still(file_format, quality, count(buffer.getvalue()), decoded.convert("RGB"))


def jpeg_scan_bytes(data: bytes) -> int:
    """Bytes of the entropy-coded data of a baseline JPEG file, which follows the header of its only scan.

    Notes
    -----
    Source: ITU-T T.81, B.1 and B.2: a marker is 0xFF and its code; a segment starts with its length, of two bytes.
    """
    position = 2  # after the start of image
    while position + 4 <= len(data):
        code = data[position + 1]
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if code == _START_OF_SCAN:
            return len(data) - position - _END_OF_IMAGE_BYTES
    raise ImageError("the JPEG file has no scan")


def avif_data_bytes(data: bytes) -> int:
    """Bytes of the coded image of an AVIF file: its media data boxes without their headers.

    Notes
    -----
    Source: ISO/IEC 14496-12, 4.2: a box starts with its size and type, of four bytes each; size 1 stands for a size of
    eight bytes after the type, and 0 for the rest of the file.
    """
    num_bytes = position = 0
    while position < len(data):
        size, header = int.from_bytes(data[position : position + 4], "big"), _BOX_HEADER_BYTES
        if size == 1:
            size, header = int.from_bytes(data[position + 8 : position + 16], "big"), _LARGE_BOX_HEADER_BYTES
        size = size or len(data) - position
        if size < header:
            raise ImageError("a box of the AVIF file is shorter than its header")
        if data[position + 4 : position + 8] == b"mdat":
            num_bytes += size - header
        position += size
    return num_bytes
