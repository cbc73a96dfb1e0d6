"""The wire format: golden bytes, written and read, and the sizes that its page states."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from semlink.frame import (
    FINGERPRINT_BYTES,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    MAX_PILOTS,
    end_of_stream,
    pack,
    unpack,
    with_received_codes,
)
from semlink.iq import CodesFormat
from semlink.rates import RATES
from tests.support.wire_frames import (
    GOLDEN_END,
    GOLDEN_IMAGE,
    GOLDEN_RECEIVED,
    golden_frame,
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
