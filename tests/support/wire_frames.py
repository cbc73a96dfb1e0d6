"""Frames of the wire format: golden bytes, offsets of the header, and any frame at all."""

from __future__ import annotations

import struct
import zlib
from dataclasses import fields

import numpy as np
from hypothesis import strategies as st

from semlink.channel import pilot_symbols
from semlink.frame import (
    FINGERPRINT_BYTES,
    HEADER_BYTES,
    MAX_COUNT,
    Frame,
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
VERSION_AT, HEADER_BYTES_AT, FLAGS_AT = 4, 5, 6
SEQUENCE_AT, CAPTURE_TIME_AT, NUM_SYMBOLS_AT, NUM_PILOTS_AT = 16, 24, 48, 52
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
