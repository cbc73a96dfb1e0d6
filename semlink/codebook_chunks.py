"""Chunks of a codebook on the way from a receiver to its transmitters: bytes in, values out, no socket.

    content --split--> chunks --pack--> messages --unpack--> chunks --CodebookAssembler--> content

Chunks are sent in turn without end, so that a lost one comes again and a transmitter may begin with any. Source of the
format: docs/wire-format.md, "Codebook chunk".
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass

from semlink.errors import DecodeError

__all__ = [
    "CHUNK_BYTES",
    "CHUNK_HEADER_BYTES",
    "CHUNK_MAGIC",
    "MAX_CHUNK_MESSAGE_BYTES",
    "MAX_CODEBOOK_BYTES",
    "CodebookAssembler",
    "CodebookChunk",
    "split",
]

MAX_CODEBOOK_BYTES = 1_000_000
"""Largest codebook that is made, sent or read, for any knowledge base."""
CHUNK_BYTES = 32_768
"""Data of every chunk but the last."""
CHUNK_MAGIC = b"SMCB"
_VERSION = 1
_HEADER = struct.Struct("<4sBBH32sII")
_CRC = struct.Struct("<I")
CHUNK_HEADER_BYTES = _HEADER.size + _CRC.size
MAX_CHUNK_MESSAGE_BYTES = CHUNK_HEADER_BYTES + CHUNK_BYTES
"""Largest message; shorter than a report may be, so that a transmitter that knows no chunks reads and drops it."""


@dataclass(frozen=True)
class CodebookChunk:
    """A part of a codebook.

    Attributes
    ----------
    sha256 : SHA-256 of the whole codebook, in hex
    total_bytes : size of the whole codebook, 1 .. `MAX_CODEBOOK_BYTES`
    offset : position of the data in the codebook, a multiple of `CHUNK_BYTES`
    data : `CHUNK_BYTES` bytes, or what is left for the last chunk
    """

    sha256: str
    total_bytes: int
    offset: int
    data: bytes

    def pack(self) -> bytes:
        """The chunk's message."""
        header = _HEADER.pack(
            CHUNK_MAGIC, _VERSION, CHUNK_HEADER_BYTES, 0, bytes.fromhex(self.sha256), self.total_bytes, self.offset
        )
        return header + _CRC.pack(zlib.crc32(self.data, zlib.crc32(header))) + self.data

    @classmethod
    def unpack(cls, message: bytes) -> CodebookChunk:
        """Read foreign bytes.

        Raises
        ------
        DecodeError
            If they are no chunk that this version reads, damaged, or of an oversized codebook.
        """
        if len(message) > MAX_CHUNK_MESSAGE_BYTES:
            raise DecodeError(f"oversized chunk: {len(message)} bytes, at most {MAX_CHUNK_MESSAGE_BYTES} are read")
        if len(message) < CHUNK_HEADER_BYTES:
            raise DecodeError(f"truncated chunk: {len(message)} bytes, a header alone has {CHUNK_HEADER_BYTES}")
        magic, version, header_bytes, reserved, sha256, total_bytes, offset = _HEADER.unpack_from(message)
        (crc,) = _CRC.unpack_from(message, _HEADER.size)
        if magic != CHUNK_MAGIC:
            raise DecodeError(f"not a codebook chunk: magic is {magic!r}, expected {CHUNK_MAGIC!r}")
        if version != _VERSION:
            raise DecodeError(f"chunk version {version}, this transmitter reads {_VERSION}; update the older end")
        data = message[CHUNK_HEADER_BYTES:]
        if zlib.crc32(data, zlib.crc32(message[: _HEADER.size])) != crc:
            raise DecodeError("chunk checksum does not match: the chunk was damaged on the way")
        if header_bytes != CHUNK_HEADER_BYTES or reserved:
            raise DecodeError(f"chunk header of {header_bytes} bytes is not of version {_VERSION}")
        if not 0 < total_bytes <= MAX_CODEBOOK_BYTES:
            raise DecodeError(f"implausible codebook: {total_bytes} bytes, one has 1 to {MAX_CODEBOOK_BYTES}")
        if offset % CHUNK_BYTES or offset >= total_bytes or len(data) != min(CHUNK_BYTES, total_bytes - offset):
            raise DecodeError(
                f"implausible chunk: {len(data)} bytes at {offset} of {total_bytes} do not fit chunks of {CHUNK_BYTES}"
            )
        return cls(sha256.hex(), total_bytes, offset, data)


def split(content: bytes) -> list[CodebookChunk]:
    """Split a codebook of 1 .. `MAX_CODEBOOK_BYTES` bytes into its chunks, in order.

    Examples
    --------
    >>> [(chunk.offset, len(chunk.data)) for chunk in split(bytes(40_000))]
    [(0, 32768), (32768, 7232)]
    """
    sha256 = hashlib.sha256(content).hexdigest()
    return [
        CodebookChunk(sha256, len(content), offset, content[offset : offset + CHUNK_BYTES])
        for offset in range(0, len(content), CHUNK_BYTES)
    ]


class CodebookAssembler:
    """Assembles one codebook from its chunks, in any order, lost and repeated ones included.

    Parameters
    ----------
    sha256 : SHA-256 of the codebook, in hex

    Attributes
    ----------
    num_bytes : bytes that were received, at most `MAX_CODEBOOK_BYTES`
    num_mismatches : times that the bytes were complete and had another hash

    Examples
    --------
    >>> content = bytes(40_000)
    >>> first, last = split(content)
    >>> assembler = CodebookAssembler(first.sha256)
    >>> assembler.add(last), assembler.add(last), assembler.num_bytes
    (None, None, 7232)
    >>> assembler.add(first) == content
    True
    """

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256
        self.num_mismatches = 0
        self._total_bytes = 0
        self._data: dict[int, bytes] = {}

    @property
    def num_bytes(self) -> int:
        """See the class."""
        return sum(map(len, self._data.values()))

    def add(self, chunk: CodebookChunk) -> bytes | None:
        """Add a chunk that `CodebookChunk.unpack` has checked.

        Returns
        -------
        content : the codebook's bytes once they are complete and have its hash, else None

        Raises
        ------
        DecodeError
            If the chunk is of another codebook, which changes nothing; if it contradicts the size of the chunks before
            it, or completes bytes with another hash: then the assembly starts over.
        """
        if chunk.sha256 != self.sha256:
            raise DecodeError(f"chunk of another codebook: {chunk.sha256[:12]}, wanted {self.sha256[:12]}")
        if self._data and chunk.total_bytes != self._total_bytes:
            self._data.clear()
            raise DecodeError(f"size of the codebook has changed: {self._total_bytes} bytes, then {chunk.total_bytes}")
        self._total_bytes = chunk.total_bytes
        self._data.setdefault(chunk.offset, chunk.data)
        if self.num_bytes < self._total_bytes:
            return None
        content = b"".join(data for _, data in sorted(self._data.items()))
        self._data.clear()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            self.num_mismatches += 1
            raise DecodeError("codebook does not match its SHA-256: it was altered on the way, and is fetched again")
        return content
