"""The receiver's report to its transmitters: its KB, the codebooks that it decodes, and the SNR of their streams.

A report is advice, not part of the data path: it is late, and its loss does no harm. Without reports a transmitter
works as before the first one. Source of the format: docs/wire-format.md, "Receiver report".
"""

from __future__ import annotations

import re

import msgspec

from semlink.channel import MAX_SNR_DB
from semlink.errors import DecodeError

__all__ = ["MAX_CODEBOOKS", "MAX_REPORT_BYTES", "REPORT_PREFIX", "ReceiverReport"]

MAX_REPORT_BYTES = 65_536
REPORT_PREFIX = b"{"
"""First byte of every report, which distinguishes it from other messages of the reverse path."""
MAX_CODEBOOKS = 16
_VERSION = 1
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_STREAM = re.compile(r"[0-9a-f]{16}")


class ReceiverReport(msgspec.Struct, frozen=True, kw_only=True):
    """One report, as JSON on the wire.

    Attributes
    ----------
    knowledge_base : fingerprint of the receiver's knowledge base, 64 hex digits
    snr_db : estimated Es/N0 by stream id (16 hex digits), of recent streams [dB]
    codebooks : SHA-256 of each codebook of `adapted` that the receiver decodes, 64 hex digits, that of its knowledge
        base as it is first; older receivers send none
    """

    version: int = _VERSION
    knowledge_base: str
    snr_db: dict[str, float] = {}
    codebooks: tuple[str, ...] = ()

    def pack(self) -> bytes:
        """The report's bytes."""
        return msgspec.json.encode(self)

    @classmethod
    def unpack(cls, data: bytes) -> ReceiverReport:
        """Read foreign bytes.

        Raises
        ------
        DecodeError
            If they are no report that this version reads.
        """
        if len(data) > MAX_REPORT_BYTES:
            raise DecodeError(f"oversized report: {len(data)} bytes, at most {MAX_REPORT_BYTES} are read")
        try:
            report = msgspec.json.decode(data, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DecodeError(f"not a receiver report: {error}") from None
        if report.version != _VERSION or not _FINGERPRINT.fullmatch(report.knowledge_base):
            raise DecodeError(f"not a receiver report of version {_VERSION}")
        if not all(_STREAM.fullmatch(stream) and abs(snr_db) <= MAX_SNR_DB for stream, snr_db in report.snr_db.items()):
            raise DecodeError("not a receiver report: the id or the SNR of a stream is malformed")
        if len(report.codebooks) > MAX_CODEBOOKS or not all(map(_FINGERPRINT.fullmatch, report.codebooks)):
            raise DecodeError("not a receiver report: the SHA-256 of a codebook is malformed, or there are too many")
        return report
