"""The wire format: golden bytes, inverse pair, and that foreign bytes give a Frame or a DecodeError."""

from __future__ import annotations

import struct
import zlib
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semlink.channel import pilot_symbols
from semlink.errors import ConfigError, DecodeError
from semlink.frame import (
    FINGERPRINT_BYTES,
    HEADER_BYTES,
    MAX_COUNT,
    MAX_FRAME_BYTES,
    MAX_PILOTS,
    VERSION,
    Flags,
    Frame,
    FrameId,
    end_of_stream,
    pack,
    unpack,
    with_received_codes,
)
from semlink.iq import CodesFormat, quantize
from semlink.rates import RATES

# Bytes of version 1. A change here is a change of the wire format: a new version, not a new golden.
GOLDEN_IMAGE = bytes.fromhex(
    "534d4c4b 01480000 efcdab89 67452301 05000000 00000000 15cd853d fe9c9717"
    "00010203 04050607 08090a0b 0c0d0e0f 04000000 02000001 d0020005 5e506b44 5e506b44 25a93e38"
    "0b0b f50b 1000 00f0 7f81 f50b"
)
GOLDEN_RECEIVED = bytes.fromhex(
    "534d4c4b 01480200 efcdab89 67452301 05000000 00000000 15cd853d fe9c9717"
    "00010203 04050607 08090a0b 0c0d0e0f 04000000 02000001 d0020005 5e506b44 04c7a7d3 92b0b0da"
    "0505 fa05 0800 00f8 3fc0 fa05"
)
GOLDEN_END = bytes.fromhex(
    "534d4c4b 01480100 efcdab89 67452301 06000000 00000000 00cac471 fe9c9717"
    "00010203 04050607 08090a0b 0c0d0e0f 00000000 00000001 00000000 00000000 00000000 59a4968a"
)

# Offsets as docs/wire-format.md has them, so that the tests do not trust the module's own layout.
VERSION_AT, HEADER_BYTES_AT, FLAGS_AT, SEQUENCE_AT, CAPTURE_TIME_AT, NUM_SYMBOLS_AT, NUM_PILOTS_AT = (
    4,
    5,
    6,
    16,
    24,
    48,
    52,
)
RATE_AT, FORMAT_AT, SENT_CRC_AT, PAYLOAD_CRC_AT, HEADER_CRC_AT = 54, 55, 60, 64, 68


def golden_frame() -> Frame:
    data = np.array([[16, 0], [0, -16], [127, -127], [-11, 11]], dtype=np.int8)
    return Frame(
        stream_id=0x0123456789ABCDEF,
        sequence=5,
        capture_time_ns=1_700_000_000_123_456_789,
        fingerprint=bytes(range(16)),
        rate=RATES[0],
        codes=np.concatenate([quantize(pilot_symbols(2)), data]),
        num_pilots=2,
        source_height_px=720,
        source_width_px=1280,
    )


def resigned(data: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite header bytes and make the header checksum hold again: a peer that lies, not a damaged wire."""
    changed = bytearray(data)
    changed[offset : offset + len(value)] = value
    changed[HEADER_CRC_AT:HEADER_BYTES] = struct.pack("<I", zlib.crc32(bytes(changed[:HEADER_CRC_AT])))
    return bytes(changed)


def assert_same(frame: Frame, other: Frame) -> None:
    for field in fields(Frame):
        if field.name not in ("codes", "sent_crc"):
            assert getattr(frame, field.name) == getattr(other, field.name), field.name
    # As bytes, so that a NaN of cf32 equals itself.
    assert frame.codes.tobytes() == other.codes.tobytes()
    assert (frame.codes.shape, frame.codes.dtype) == (other.codes.shape, other.codes.dtype)


@st.composite
def frames(draw: st.DrawFn, codes_formats: tuple[CodesFormat, ...] = tuple(CodesFormat)) -> Frame:
    codes_format = draw(st.sampled_from(codes_formats))
    rate = draw(st.sampled_from(RATES[:5]))
    num_pilots = draw(st.sampled_from((0, 1, 2, 8)))
    num_bytes = (num_pilots + rate.num_symbols) * codes_format.symbol_bytes
    payload = draw(st.binary(min_size=num_bytes, max_size=num_bytes))
    return Frame(
        stream_id=draw(st.integers(0, 2**64 - 1)),
        sequence=draw(st.integers(0, MAX_COUNT)),
        capture_time_ns=draw(st.integers(0, MAX_COUNT)),
        fingerprint=draw(st.binary(min_size=FINGERPRINT_BYTES, max_size=FINGERPRINT_BYTES)),
        rate=rate,
        codes=np.frombuffer(payload, dtype=codes_format.dtype).reshape(-1, 2),
        codes_format=codes_format,
        num_pilots=num_pilots,
        source_height_px=draw(st.integers(0, 65535)),
        source_width_px=draw(st.integers(0, 65535)),
    )


class TestGoldenBytes:
    def test_image_frame(self) -> None:
        assert pack(golden_frame()) == GOLDEN_IMAGE

    def test_frame_through_a_software_channel(self) -> None:
        sent = unpack(GOLDEN_IMAGE)
        received = with_received_codes(sent, (sent.codes // 2).astype(np.int8))
        assert pack(received) == GOLDEN_RECEIVED

    def test_end_of_stream(self) -> None:
        end = end_of_stream(0x0123456789ABCDEF, 6, bytes(range(16)), RATES[0], 1_700_000_001_000_000_000)
        assert pack(end) == GOLDEN_END

    def test_read_without_our_reader(self) -> None:
        """docs/wire-format.md, field by field, in struct alone."""
        values = struct.unpack("<4sBBHQQQ16sIHBBHHIII", GOLDEN_IMAGE[:72])
        payload = GOLDEN_IMAGE[72:]
        crc = zlib.crc32(payload)
        assert values == (
            b"SMLK", 1, 72, 0, 0x0123456789ABCDEF, 5, 1_700_000_000_123_456_789, bytes(range(16)),
            4, 2, 0, 1, 720, 1280, crc, crc, zlib.crc32(GOLDEN_IMAGE[:68]),
        )  # fmt: skip
        assert struct.unpack("12b", payload) == (11, 11, -11, 11, 16, 0, 0, -16, 127, -127, -11, 11)

    @pytest.mark.parametrize("data", [GOLDEN_IMAGE, GOLDEN_RECEIVED, GOLDEN_END])
    def test_unpack_is_the_inverse(self, data: bytes) -> None:
        assert pack(unpack(data)) == data

    def test_sizes_that_the_specification_states(self) -> None:
        assert (HEADER_BYTES, FINGERPRINT_BYTES, MAX_PILOTS, MAX_FRAME_BYTES) == (72, 16, 1024, 16456)

    def test_sc16_and_cf32_are_little_endian(self) -> None:
        for codes_format, value, expected in (
            (CodesFormat.SC16, 258, b"\x02\x01"),
            (CodesFormat.CF32, 1.0, b"\x00\x00\x80\x3f"),
        ):
            codes = np.zeros((4, 2), dtype=codes_format.dtype)
            codes[0, 0] = value
            data = pack(replace(golden_frame(), codes=codes, codes_format=codes_format, num_pilots=0))
            assert data[HEADER_BYTES:].startswith(expected)


class TestRoundTrip:
    @given(frames())
    def test_unpack_undoes_pack(self, frame: Frame) -> None:
        received = unpack(pack(frame))
        assert_same(received, frame)
        assert received.sent_crc == zlib.crc32(frame.codes.tobytes())

    @given(frames(codes_formats=(CodesFormat.SC8,)), st.integers(-127, 127))
    def test_channel_keeps_the_transmitters_checksum(self, frame: Frame, code: int) -> None:
        sent = unpack(pack(frame))
        once = unpack(pack(with_received_codes(sent, np.full_like(sent.codes, code))))
        twice = unpack(pack(with_received_codes(once, np.full_like(sent.codes, -code))))
        assert once.flags == twice.flags == Flags.CHANNEL_APPLIED
        assert once.sent_crc == twice.sent_crc == sent.sent_crc
        assert (twice.codes == -code).all()
        assert (twice.frame_id, twice.fingerprint) == (sent.frame_id, sent.fingerprint)

    @given(st.integers(0, MAX_COUNT), st.sampled_from(RATES))
    def test_end_of_stream(self, num_frames: int, rate: type(RATES[0])) -> None:
        end = unpack(pack(end_of_stream(3, num_frames, bytes(16), rate, 9)))
        assert end.is_end_of_stream
        assert (end.stream_id, end.sequence, end.rate, end.codes.shape) == (3, num_frames, rate, (0, 2))

    @pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data))])
    def test_any_buffer_gives_read_only_codes(self, make: type) -> None:
        received = unpack(make(GOLDEN_IMAGE))
        assert_same(received, golden_frame())
        assert not received.codes.flags.writeable
        assert isinstance(received.fingerprint, bytes)

    def test_wide_buffer_items_are_bytes_all_the_same(self) -> None:
        assert_same(unpack(memoryview(np.frombuffer(GOLDEN_IMAGE, dtype=np.int32))), golden_frame())

    def test_every_rate_and_the_most_pilots_fit(self) -> None:
        for rate in RATES:
            codes = np.zeros((MAX_PILOTS + rate.num_symbols, 2), dtype=np.float32)
            frame = replace(
                golden_frame(), rate=rate, codes=codes, codes_format=CodesFormat.CF32, num_pilots=MAX_PILOTS
            )
            data = pack(frame)
            assert unpack(data).rate == rate
        assert len(data) == MAX_FRAME_BYTES

    def test_frame_id_reads_well(self) -> None:
        assert str(FrameId(0xAB, 3)) == "00000000000000ab-3"
        assert golden_frame().frame_id == FrameId(0x0123456789ABCDEF, 5)


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


class TestOurMistakes:
    @pytest.mark.parametrize(
        ("changes", "match"),
        [
            ({"stream_id": -1}, "does not fit the wire format"),
            ({"stream_id": 2**64}, "does not fit the wire format"),
            ({"sequence": MAX_COUNT + 1}, "sequence and capture_time_ns must be 0"),
            ({"capture_time_ns": MAX_COUNT + 1}, "sequence and capture_time_ns must be 0"),
            ({"sequence": 0.5}, "does not fit the wire format"),
            ({"capture_time_ns": -1}, "does not fit the wire format"),
            ({"source_width_px": 65536}, "does not fit the wire format"),
            ({"fingerprint": bytes(15)}, "fingerprint must be 16 bytes"),
            ({"num_pilots": MAX_PILOTS + 1, "codes": np.zeros((1029, 2), np.int8)}, r"num_pilots must be 0\.\.1024"),
            ({"num_pilots": -1, "codes": np.zeros((3, 2), np.int8)}, r"num_pilots must be 0\.\.1024"),
            ({"codes": np.zeros((5, 2), np.int8)}, r"codes must be \(6, 2\) int8, got \(5, 2\) int8"),
            ({"codes": np.zeros((6, 2), np.int16)}, r"codes must be \(6, 2\) int8, got \(6, 2\) int16"),
            ({"codes": np.zeros((6, 2), ">i2"), "codes_format": CodesFormat.SC16}, "codes must be"),
            ({"rate": RATES[1]}, r"codes must be \(10, 2\)"),
            ({"flags": Flags.CHANNEL_APPLIED}, "must keep the transmitter's sent_crc"),
            ({"flags": Flags(8)}, "flags must be one of"),
            ({"flags": Flags.END_OF_STREAM, "codes": np.zeros((2, 2), np.int8)}, "0x0001 with 2 pilots"),
            ({"flags": Flags(3), "num_pilots": 0, "codes": np.zeros((0, 2), np.int8)}, "flags must be one of"),
        ],
    )
    def test_pack_names_the_field(self, changes: dict[str, object], match: str) -> None:
        with pytest.raises(ConfigError, match=match):
            pack(replace(golden_frame(), **changes))

    def test_codes_in_any_memory_order(self) -> None:
        assert pack(replace(golden_frame(), codes=np.asfortranarray(golden_frame().codes))) == GOLDEN_IMAGE
