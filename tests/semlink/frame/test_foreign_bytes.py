"""Foreign bytes give a Frame or a DecodeError that names what is wrong."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semlink.errors import DecodeError
from semlink.frame import (
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    VERSION,
    Frame,
    pack,
    unpack,
)
from tests.support.wire_frames import (
    CAPTURE_TIME_AT,
    FLAGS_AT,
    FORMAT_AT,
    GOLDEN_END,
    GOLDEN_IMAGE,
    GOLDEN_RECEIVED,
    HEADER_BYTES_AT,
    NUM_PILOTS_AT,
    NUM_SYMBOLS_AT,
    PAYLOAD_CRC_AT,
    RATE_AT,
    SENT_CRC_AT,
    SEQUENCE_AT,
    VERSION_AT,
    frames,
    resigned,
)


class TestForeignBytes:
    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        with pytest.raises(DecodeError):
            unpack(data)

    @given(frames(), st.data())
    def test_any_mutation_is_a_frame_or_a_decode_error(self, frame: Frame, data: st.DataObject) -> None:
        mutated = bytearray(pack(frame))
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, len(mutated)))
            end = data.draw(st.integers(start, min(len(mutated), start + 8)))
            mutated[start:end] = data.draw(st.binary(max_size=8))
        try:
            received = unpack(bytes(mutated))
        except DecodeError:
            return
        assert pack(received) == bytes(mutated)

    @given(st.binary(min_size=68, max_size=68), st.binary(max_size=64))
    def test_any_signed_header_is_a_frame_or_a_decode_error(self, header: bytes, payload: bytes) -> None:
        """Past the checksum: magic, version and both signatures hold, all else is arbitrary."""
        crc = struct.pack("<I", zlib.crc32(payload))
        body = b"SMLK\x01" + header[5:60] + crc + crc
        data = body + struct.pack("<I", zlib.crc32(body)) + payload
        try:
            received = unpack(data)
        except DecodeError:
            return
        assert pack(received) == data

    @pytest.mark.parametrize("data", [GOLDEN_IMAGE, GOLDEN_RECEIVED, GOLDEN_END])
    def test_every_single_bit_flip_is_refused(self, data: bytes) -> None:
        for bit in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(DecodeError):
                unpack(bytes(flipped))

    @pytest.mark.parametrize("num_bytes", range(len(GOLDEN_IMAGE)))
    def test_truncated_at_every_length(self, num_bytes: int) -> None:
        received = f"{num_bytes} bytes" if num_bytes < HEADER_BYTES else f"payload of {num_bytes - HEADER_BYTES} bytes"
        with pytest.raises(DecodeError, match=f"^truncated: {received}"):
            unpack(GOLDEN_IMAGE[:num_bytes])

    def test_trailing_bytes(self) -> None:
        with pytest.raises(DecodeError, match="payload of 13 bytes, the header promises 12"):
            unpack(GOLDEN_IMAGE + b"\0")

    def test_oversized_is_refused_unread(self) -> None:
        with pytest.raises(DecodeError, match=r"^oversized: 16457 bytes, a frame has at most 16456"):
            unpack(GOLDEN_IMAGE.ljust(MAX_FRAME_BYTES + 1, b"\0"))

    def test_foreign_magic(self) -> None:
        with pytest.raises(DecodeError, match="foreign bytes: magic is b'HTTP'"):
            unpack(b"HTTP" + GOLDEN_IMAGE[4:])

    @pytest.mark.parametrize("version", [0, 2, 255])
    def test_other_version_is_named(self, version: int) -> None:
        """Whatever another version's checksum covers: the version is read first."""
        data = bytearray(GOLDEN_IMAGE)
        data[VERSION_AT] = version
        for message in (bytes(data), resigned(GOLDEN_IMAGE, VERSION_AT, bytes([version]))):
            with pytest.raises(DecodeError, match=f"^frame version {version}, this receiver reads {VERSION}"):
                unpack(message)

    @pytest.mark.parametrize(
        ("offset", "value", "match"),
        [
            pytest.param(HEADER_BYTES_AT, b"\x50", "header of 80 bytes", id="header length"),
            pytest.param(FLAGS_AT, b"\x04\x00", "flags 0x0004 is not of version 1", id="unknown flag"),
            pytest.param(FLAGS_AT, b"\x00\x80", "flags 0x8000 is not of version 1", id="highest flag"),
            pytest.param(FLAGS_AT, b"\x03\x00", "flags 0x0003 is not of version 1", id="contradicting flags"),
            pytest.param(FLAGS_AT, b"\x01\x00", "4 symbols and 2 pilots do not fit", id="end with symbols"),
            pytest.param(
                SEQUENCE_AT, b"\0" * 7 + b"\x80", "implausible header: sequence 9223372036854775808", id="count"
            ),
            pytest.param(CAPTURE_TIME_AT, b"\xff" * 8, "captured at 18446744073709551615 ns", id="time"),
            pytest.param(RATE_AT, b"\x09", r"rate id 9 is not in the rate table \(0..8\)", id="unknown rate"),
            pytest.param(RATE_AT, b"\x01", "4 symbols and 2 pilots do not fit rate 1/384", id="another rate"),
            pytest.param(NUM_SYMBOLS_AT, b"\xff\xff\xff\xff", "4294967295 symbols", id="absurd symbols"),
            pytest.param(NUM_PILOTS_AT, b"\x01\x04", "4 symbols and 1025 pilots", id="too many pilots"),
            pytest.param(NUM_PILOTS_AT, b"\x03\x00", "payload of 12 bytes, the header promises 14", id="more pilots"),
            pytest.param(FORMAT_AT, b"\x00", "codes format 0 is unknown", id="format 0"),
            pytest.param(FORMAT_AT, b"\x04", "codes format 4 is unknown", id="format 4"),
            pytest.param(FORMAT_AT, b"\x02", "payload of 12 bytes, the header promises 24", id="another format"),
            pytest.param(SENT_CRC_AT, b"\0\0\0\0", "no software channel marked", id="swapped payload"),
            pytest.param(PAYLOAD_CRC_AT, b"\0\0\0\0", "payload checksum does not match", id="payload checksum"),
        ],
    )
    def test_signed_lies_are_named(self, offset: int, value: bytes, match: str) -> None:
        with pytest.raises(DecodeError, match=match):
            unpack(resigned(GOLDEN_IMAGE, offset, value))

    def test_damage_on_the_way_is_not_noise(self) -> None:
        """A software channel's noise passes, one flipped payload bit after it does not."""
        unpack(GOLDEN_RECEIVED)
        damaged = bytearray(GOLDEN_RECEIVED)
        damaged[-1] ^= 1
        with pytest.raises(DecodeError, match="payload checksum does not match"):
            unpack(bytes(damaged))
