"""Receiver reports: any bytes give a report or a DecodeError."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semlink.errors import DecodeError
from semlink.receiver_report import MAX_CODEBOOKS, MAX_REPORT_BYTES, ReceiverReport

REPORT = ReceiverReport(knowledge_base="ab" * 32, snr_db={"0" * 16: -3.5}, codebooks=("c" * 64, "d" * 64))


def test_survives_the_wire() -> None:
    assert ReceiverReport.unpack(REPORT.pack()) == REPORT


def test_a_receiver_of_before_there_were_codebooks_decodes_none() -> None:
    older = msgspec.json.encode({"version": 1, "knowledge_base": "ab" * 32, "snr_db": {}})
    assert ReceiverReport.unpack(older).codebooks == ()


def test_a_report_holds_so_many_codebooks_and_no_more() -> None:
    codebooks = tuple(f"{number:064x}" for number in range(MAX_CODEBOOKS + 1))
    most = ReceiverReport(knowledge_base="ab" * 32, codebooks=codebooks[:-1])
    assert ReceiverReport.unpack(most.pack()) == most
    with pytest.raises(DecodeError, match="too many"):
        ReceiverReport.unpack(ReceiverReport(knowledge_base="ab" * 32, codebooks=codebooks).pack())


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
        REPORT.pack().replace(b"-3.5", b"1e5"),
        REPORT.pack().replace(b"-3.5", b"null"),
        REPORT.pack().replace(b"0000", b"zzzz"),
        REPORT.pack().replace(b"dddd", b"DDDD"),
        REPORT.pack().replace(b"dddd", b""),
        REPORT.pack().replace(b"[", b"[7,"),
        b" " * (MAX_REPORT_BYTES + 1),
    ],
)
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="report"):
        ReceiverReport.unpack(data)


@given(st.dictionaries(st.text(max_size=20), st.floats() | st.integers() | st.none(), max_size=4))
def test_any_numbers_are_survived(snr_db: dict[str, float]) -> None:
    """A report of the right shape with any values: what is read is what a transmitter can reckon with."""
    data = msgspec.json.encode({"version": 1, "knowledge_base": "ab" * 32, "snr_db": snr_db})
    try:
        report = ReceiverReport.unpack(data)
    except DecodeError:
        return
    assert all(abs(value) <= 100.0 and len(stream) == 16 for stream, value in report.snr_db.items())


@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    with pytest.raises(DecodeError):
        ReceiverReport.unpack(data)
