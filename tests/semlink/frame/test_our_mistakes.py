"""A frame that the format cannot hold is a ConfigError that names the field."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from semlink.errors import ConfigError
from semlink.frame import (
    MAX_COUNT,
    MAX_PILOTS,
    Flags,
    pack,
)
from semlink.iq import CodesFormat
from semlink.rates import RATES
from tests.support.wire_frames import (
    GOLDEN_IMAGE,
    golden_frame,
)


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
