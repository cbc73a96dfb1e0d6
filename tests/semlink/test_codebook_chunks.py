"""Chunks of a codebook: golden bytes, any order, loss and repetition, and any foreign bytes."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semlink.codebook_chunks import (
    CHUNK_BYTES,
    MAX_CHUNK_MESSAGE_BYTES,
    MAX_CODEBOOK_BYTES,
    CodebookAssembler,
    CodebookChunk,
    split,
)
from semlink.errors import DecodeError
from semlink.receiver_report import MAX_REPORT_BYTES, ReceiverReport

GOLDEN = bytes.fromhex(
    "534d434201340000"
    "8f25a0e4f702a314b5d8d7a4e1062bb9492e9166e6d10b2a3f61010021b06011"
    "0800000000000000"
    "21687082"
    "636f6465626f6f6b"
)
CONTENT = bytes(range(256)) * 300  # 76,800 bytes: three chunks
CHUNKS = split(CONTENT)


def header(**changes: int) -> bytes:
    """A chunk of 8 bytes with the changed fields and a checksum that fits them."""
    fields = {"version": 1, "header_bytes": 52, "reserved": 0, "total_bytes": 8, "offset": 0} | changes
    version, header_bytes, reserved, total_bytes, offset = fields.values()
    sha256 = hashlib.sha256(b"codebook").digest()
    start = struct.pack("<4sBBH32sII", b"SMCB", version, header_bytes, reserved, sha256, total_bytes, offset)
    return start + zlib.crc32(start + b"codebook").to_bytes(4, "little") + b"codebook"


class TestMessage:
    def test_golden_bytes(self) -> None:
        """Those of docs/wire-format.md, "Codebook chunk"."""
        (chunk,) = split(b"codebook")
        assert chunk.pack() == GOLDEN
        assert CodebookChunk.unpack(GOLDEN) == chunk

    def test_survives_the_wire(self) -> None:
        assert [CodebookChunk.unpack(chunk.pack()) for chunk in CHUNKS] == CHUNKS

    def test_fits_the_limit_of_transmitters_without_chunks(self) -> None:
        """They read it, find no report in it, and go on."""
        assert len(CHUNKS[0].pack()) == MAX_CHUNK_MESSAGE_BYTES < MAX_REPORT_BYTES
        with pytest.raises(DecodeError, match="not a receiver report"):
            ReceiverReport.unpack(CHUNKS[0].pack())

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "truncated chunk"),
            (GOLDEN[:51], "truncated chunk"),
            (GOLDEN[:-1], "checksum"),
            (GOLDEN + b"k", "checksum"),
            (b"SMLK" + GOLDEN[4:], "not a codebook chunk"),
            (bytes(MAX_CHUNK_MESSAGE_BYTES + 1), "oversized chunk"),
            (header(version=2), "chunk version 2, this transmitter reads 1"),
            (header(header_bytes=53), "chunk header of 53 bytes"),
            (header(reserved=1), "chunk header"),
            (header(total_bytes=0), "implausible codebook"),
            (header(total_bytes=MAX_CODEBOOK_BYTES + 1), "implausible codebook"),
            (header(total_bytes=2**32 - 1), "implausible codebook"),
            (header(total_bytes=7), "implausible chunk"),
            (header(total_bytes=9), "implausible chunk"),
            (header(total_bytes=CHUNK_BYTES + 8, offset=8), "implausible chunk"),
            (header(offset=CHUNK_BYTES), "implausible chunk"),
        ],
    )
    def test_foreign_bytes_are_refused(self, data: bytes, message: str) -> None:
        with pytest.raises(DecodeError, match=message):
            CodebookChunk.unpack(data)

    def test_the_header_of_these_tests_is_right(self) -> None:
        """Else the refusals above would prove nothing."""
        assert header() == GOLDEN

    @given(st.integers(0, len(GOLDEN) - 1), st.integers(1, 255))
    def test_any_altered_byte_is_refused(self, position: int, mask: int) -> None:
        data = bytearray(GOLDEN)
        data[position] ^= mask
        with pytest.raises(DecodeError):
            CodebookChunk.unpack(bytes(data))

    @given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda data: GOLDEN[:40] + data))
    def test_any_bytes_are_survived(self, data: bytes) -> None:
        with pytest.raises(DecodeError):
            CodebookChunk.unpack(data)

    @given(st.binary(min_size=1, max_size=2 * CHUNK_BYTES + 1))
    def test_chunks_are_the_content(self, content: bytes) -> None:
        chunks = split(content)
        assert b"".join(chunk.data for chunk in chunks) == content
        assert [CodebookChunk.unpack(chunk.pack()) for chunk in chunks] == chunks


class TestAssembler:
    @given(st.lists(st.sampled_from(CHUNKS), max_size=9), st.permutations(CHUNKS))
    def test_any_order_with_losses_and_repetitions(self, some: list[CodebookChunk], rest: list[CodebookChunk]) -> None:
        assembler = CodebookAssembler(CHUNKS[0].sha256)
        received: set[int] = set()
        for chunk in [*some, *rest]:
            received.add(chunk.offset)
            content = assembler.add(chunk)
            if len(received) == len(CHUNKS):
                assert content == CONTENT
                return
            assert content is None
        raise AssertionError("all chunks came, and no content")

    def test_chunks_of_another_codebook_change_nothing(self) -> None:
        assembler = CodebookAssembler(CHUNKS[0].sha256)
        assembler.add(CHUNKS[0])
        with pytest.raises(DecodeError, match="chunk of another codebook"):
            assembler.add(split(b"codebook")[0])
        assert assembler.add(CHUNKS[1]) is None
        assert assembler.add(CHUNKS[2]) == CONTENT

    def test_an_altered_codebook_starts_over(self) -> None:
        assembler = CodebookAssembler(CHUNKS[0].sha256)
        for chunk in (replace(CHUNKS[0], data=bytes(CHUNK_BYTES)), CHUNKS[1]):
            assembler.add(chunk)
        with pytest.raises(DecodeError, match="does not match its SHA-256"):
            assembler.add(CHUNKS[2])
        assert (assembler.num_bytes, assembler.num_mismatches) == (0, 1)
        assert [assembler.add(chunk) for chunk in CHUNKS] == [None, None, CONTENT]

    def test_a_size_that_changes_starts_over(self) -> None:
        assembler = CodebookAssembler(CHUNKS[0].sha256)
        assembler.add(replace(CHUNKS[0], total_bytes=MAX_CODEBOOK_BYTES))
        with pytest.raises(DecodeError, match="size of the codebook has changed"):
            assembler.add(CHUNKS[0])
        assert [assembler.add(chunk) for chunk in CHUNKS] == [None, None, CONTENT]

    def test_memory_is_bounded(self) -> None:
        """Whatever valid chunks a peer sends, no more than one codebook is here."""
        assembler = CodebookAssembler(CHUNKS[0].sha256)
        offsets = range(0, MAX_CODEBOOK_BYTES - CHUNK_BYTES, CHUNK_BYTES)
        for offset in [*offsets, *offsets]:
            assembler.add(CodebookChunk(CHUNKS[0].sha256, MAX_CODEBOOK_BYTES, offset, bytes(CHUNK_BYTES)))
        assert assembler.num_bytes == len(offsets) * CHUNK_BYTES < MAX_CODEBOOK_BYTES
