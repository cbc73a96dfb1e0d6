"""`unpack` is the inverse of `pack`, for every frame and every buffer."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semlink.frame import (
    MAX_COUNT,
    MAX_FRAME_BYTES,
    MAX_PILOTS,
    Flags,
    Frame,
    FrameId,
    end_of_stream,
    pack,
    unpack,
    with_received_codes,
)
from semlink.iq import CodesFormat
from semlink.rates import RATES, Rate
from tests.support.wire_frames import (
    GOLDEN_IMAGE,
    assert_same,
    frames,
    golden_frame,
)


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
    def test_end_of_stream(self, num_frames: int, rate: Rate) -> None:
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
