"""Image files of a knowledge base, each named by the SHA-256 of its bytes.

    images/ab/ab34...ef.jpg

The bytes are the original file's, so nothing that a camera wrote is lost, and a picture that
comes twice is stored once.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path, PurePath

from PIL import Image

from semlink.files import replaced_file
from semlink.image import IMAGE_SUFFIXES, RGBImage

__all__ = ["ImageStore", "encode_png", "image_suffix"]

_UNKNOWN_SUFFIX = ".img"


def encode_png(image: RGBImage) -> bytes:
    """Encode (height, width, 3) uint8 RGB, without loss, for a picture that never was a file."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, format="PNG")
    return encoded.getvalue()


def image_suffix(source: str) -> str:
    """Ending under which a picture of that name is stored; it helps people, readers go by content.

    Examples
    --------
    >>> image_suffix("holiday/IMG_1.JPG"), image_suffix("camera 3")
    ('.jpg', '.img')
    """
    suffix = PurePath(source).suffix.lower()
    return suffix if suffix in IMAGE_SUFFIXES else _UNKNOWN_SUFFIX


class ImageStore:
    """The `images` folder of a knowledge base."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str, suffix: str) -> Path:
        """Where the file of that content is, or would be."""
        return self.folder / sha256[:2] / f"{sha256}{suffix}"

    def add(self, data: bytes, suffix: str) -> str:
        """Store a file, if it is not there yet; atomic, and durable once the caller has synced the folder.

        Returns
        -------
        sha256 : of `data`, in hex
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256, suffix)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replaced_file(path) as temporary:
                temporary.write_bytes(data)
        return sha256
