"""Receiver reports: any bytes give a report or a DecodeError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semlink.errors import DecodeError
from semlink.receiver_report import MAX_REPORT_BYTES, ReceiverReport

REPORT = ReceiverReport(knowledge_base="ab" * 32, snr_db={"0" * 16: -3.5})


def test_survives_the_wire() -> None:
    assert ReceiverReport.unpack(REPORT.pack()) == REPORT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\xff\xfe",
        REPORT.pack()[:-1],
        REPORT.pack().replace(b"ab", b"zz"),
        REPORT.pack().replace(b'"version":1', b'"version":2'),
        REPORT.pack().replace(b"-3.5", b'"loud"'),
        b" " * (MAX_REPORT_BYTES + 1),
    ],
)
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="report"):
        ReceiverReport.unpack(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    with pytest.raises(DecodeError):
        ReceiverReport.unpack(data)
