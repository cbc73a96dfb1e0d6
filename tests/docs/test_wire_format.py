"""A receiver's checks are in the order of docs/wire-format.md, "What a receiver does"."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from semlink.errors import DecodeError
from semlink.frame import HEADER_BYTES, MAX_FRAME_BYTES, end_of_stream, pack, unpack
from semlink.rates import RATES

PAGE = Path(__file__).parents[2] / "docs" / "wire-format.md"
HEADER_CRC_AT = 68

HEADER_CRC, TRUNCATED = "`header_crc`", "at least 72 bytes"
UNSIGNED = (HEADER_CRC, TRUNCATED)
"""Damage that comes last, in this order, so that no later signature repairs it."""

Damage: TypeAlias = Callable[[bytearray], None]


def overwrite(offset: int, value: bytes) -> Damage:
    def damage(data: bytearray) -> None:
        data[offset : offset + len(value)] = value

    return damage


def truncate(data: bytearray) -> None:
    del data[HEADER_BYTES - 1 :]


def flip_header_crc(data: bytearray) -> None:
    crc = zlib.crc32(data[:HEADER_CRC_AT]) ^ 1
    data[HEADER_CRC_AT:HEADER_BYTES] = struct.pack("<I", crc)


# Each row of the page, how a message violates it and no row above it, and what the refusal says.
CHECKS: dict[str, tuple[Damage, str]] = {
    "at most 16,456 bytes": (lambda data: data.extend(bytes(MAX_FRAME_BYTES)), "oversized"),
    TRUNCATED: (truncate, "truncated: 71 bytes"),
    "`magic`": (overwrite(0, b"HTTP"), "foreign bytes"),
    "`version` is 1": (overwrite(4, b"\x02"), "frame version 2, this receiver reads 1"),
    HEADER_CRC: (flip_header_crc, "header checksum does not match"),
    "`header_bytes` is 72, no unknown or contradicting flag": (overwrite(5, b"\x50"), "is not of version 1"),
    "`sequence` and `capture_time_ns` are at most 2^63 - 1": (overwrite(16, b"\xff" * 8), "implausible header"),
    "`rate_id` is in the table": (overwrite(54, b"\xfe"), "rate id 254"),
    "`codes_format` is 1, 2 or 3": (overwrite(55, b"\xfe"), "codes format 254"),
    "`num_symbols` is the rate's, `num_pilots` at most 1,024; both 0 in an end of stream": (
        overwrite(48, b"\x01"),
        "1 symbols and 0 pilots do not fit",
    ),
    "the payload is exactly as long as these say": (lambda data: data.extend(b"\0"), "truncated: payload of"),
    "`payload_crc`": (overwrite(64, b"\xff" * 4), "payload checksum does not match"),
    "`sent_crc` equals `payload_crc`, or CHANNEL_APPLIED is set": (overwrite(60, b"\xfe" * 4), "marked the change"),
}


def rows_of_the_page() -> list[str]:
    section = PAGE.read_text(encoding="utf-8").partition("## What a receiver does")[2]
    table = section.partition("To refuse is to count")[0]
    return re.findall(r"^\| (.+?) \| refuse", table, re.MULTILINE)


def refusal(rows: list[str]) -> str:
    """What is said of a message that violates all of some rows."""
    data = bytearray(pack(end_of_stream(7, 3, bytes(16), RATES[0], 9)))
    for row in sorted(rows, key=lambda row: UNSIGNED.index(row) if row in UNSIGNED else -1):
        CHECKS[row][0](data)
        if row not in UNSIGNED:
            data[HEADER_CRC_AT:HEADER_BYTES] = struct.pack("<I", zlib.crc32(data[:HEADER_CRC_AT]))
    with pytest.raises(DecodeError) as caught:
        unpack(bytes(data))
    return str(caught.value)


def test_every_row_of_the_page_is_tested() -> None:
    assert rows_of_the_page() == list(CHECKS)


@pytest.mark.parametrize("row", CHECKS)
def test_each_check_refuses_by_itself(row: str) -> None:
    assert CHECKS[row][1] in refusal([row])


@pytest.mark.parametrize("row", CHECKS)
def test_a_message_that_violates_several_rows_is_refused_for_the_first(row: str) -> None:
    rows = list(CHECKS)
    # No message is longer than a frame and shorter than its header.
    violated = [other for other in rows[rows.index(row) :] if other == row or other != TRUNCATED]
    assert CHECKS[row][1] in refusal(violated)


def test_the_largest_counts_pass() -> None:
    largest = 2**63 - 1
    frame = unpack(pack(end_of_stream(7, largest, bytes(16), RATES[0], largest)))
    assert (frame.sequence, frame.capture_time_ns) == (largest, largest)
    assert np.array_equal(frame.codes, np.zeros((0, 2)))
