"""Frames: the wire layout of one transmission, and nothing that touches a socket.

Byte by byte in docs/wire-format.md. Values in, bytes out: `pack` raises ConfigError for our own
mistakes, `unpack` raises DecodeError for the peer's, and no other exception leaves this module.
"""

from __future__ import annotations

import enum
import struct
import zlib
from dataclasses import dataclass, replace

import numpy as np

from semlink.errors import ConfigError, DecodeError
from semlink.iq import CodesFormat, IQCodes
from semlink.rates import Rate, rate_of_id

__all__ = [
    "FINGERPRINT_BYTES",
    "HEADER_BYTES",
    "MAX_COUNT",
    "MAX_FRAME_BYTES",
    "VERSION",
    "Flags",
    "Frame",
    "FrameId",
    "end_of_stream",
    "pack",
    "unpack",
    "with_received_codes",
]

MAGIC = b"SMLK"
VERSION = 1
FINGERPRINT_BYTES = 16
MAX_PILOTS = 1024

MAX_COUNT = 2**63 - 1
"""Largest sequence number and capture time: what a signed integer of a database or of another language holds."""

_HEADER = struct.Struct("<4sBBHQQQ16sIHBBHHIII")
HEADER_BYTES = _HEADER.size
_HEADER_CRC_OFFSET = HEADER_BYTES - 4

MAX_FRAME_BYTES = HEADER_BYTES + (1024 + MAX_PILOTS) * CodesFormat.CF32.symbol_bytes
"""The largest frame that the format can express; anything longer is refused unread."""


class Flags(enum.IntFlag):
    """Bits of the header's flags field; unknown bits are an error, since they would be ignored."""

    NONE = 0
    END_OF_STREAM = 1
    """No symbols; `sequence` is the number of frames that the stream had."""
    CHANNEL_APPLIED = 2
    """A software channel rewrote the payload: `payload_crc` is its, `sent_crc` the transmitter's."""


# An int: the complement of a Flags keeps to the known bits from Python 3.11 on, and would hide the others.
_KNOWN_FLAGS = int(Flags.END_OF_STREAM | Flags.CHANNEL_APPLIED)


@dataclass(frozen=True, order=True)
class FrameId:
    """Identifies one transmission everywhere: the stream, and the position in it."""

    stream_id: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.stream_id:016x}-{self.sequence}"


@dataclass(frozen=True, eq=False)
class Frame:
    """One transmission: what the header says, and the codes.

    Attributes
    ----------
    stream_id : uint64, drawn at random by each start of a transmitter
    sequence : 0, 1, 2 ... in a stream, at most `MAX_COUNT`
    capture_time_ns : Unix time at which the image was in the transmitter's memory, at most `MAX_COUNT` [ns]
    fingerprint : 16 bytes, which encoder and codec made this; see `engines.models.model_set`
    rate : row of the rate table
    codes_format : sample format of the payload
    codes : (num_pilots + num_symbols, 2) of the format's dtype; pilots first; last axis is I, Q
    num_pilots : known symbols at the head of the payload, from which a receiver estimates the channel
    source_height_px, source_width_px : size of the sent picture, for CBR accounting; 0 if unknown
    flags : see `Flags`
    sent_crc : CRC-32 of the payload as the transmitter sent it; None until packed
    """

    stream_id: int
    sequence: int
    capture_time_ns: int
    fingerprint: bytes
    rate: Rate
    codes: IQCodes
    codes_format: CodesFormat = CodesFormat.SC8
    num_pilots: int = 0
    source_height_px: int = 0
    source_width_px: int = 0
    flags: Flags = Flags.NONE
    sent_crc: int | None = None

    @property
    def frame_id(self) -> FrameId:
        """Stream and sequence."""
        return FrameId(self.stream_id, self.sequence)

    @property
    def is_end_of_stream(self) -> bool:
        """Whether this closes a stream instead of carrying an image."""
        return Flags.END_OF_STREAM in self.flags


def end_of_stream(stream_id: int, num_frames: int, fingerprint: bytes, rate: Rate, time_ns: int) -> Frame:
    """Build the frame with the number of frames before it, so that lost frames at the end are counted as lost."""
    empty = np.zeros((0, 2), dtype=np.int8)
    return Frame(stream_id, num_frames, time_ns, fingerprint, rate, empty, flags=Flags.END_OF_STREAM)


def with_received_codes(frame: Frame, codes: IQCodes) -> Frame:
    """Replace the payload by the codes that a software channel received, and set CHANNEL_APPLIED."""
    return replace(frame, codes=codes, flags=frame.flags | Flags.CHANNEL_APPLIED)


def pack(frame: Frame) -> bytes:
    """Serialise a frame.

    Raises
    ------
    ConfigError
        If a field does not fit the format, or codes and rate disagree.
    """
    if int(frame.flags) & ~_KNOWN_FLAGS or (
        frame.is_end_of_stream and (frame.num_pilots or frame.flags != Flags.END_OF_STREAM)
    ):
        raise ConfigError(
            "flags must be one of END_OF_STREAM (then without pilots) and CHANNEL_APPLIED, or none;"
            f" got {int(frame.flags):#06x} with {frame.num_pilots} pilots"
        )
    num_symbols = 0 if frame.is_end_of_stream else frame.rate.num_symbols
    if frame.codes.shape != (frame.num_pilots + num_symbols, 2) or frame.codes.dtype != frame.codes_format.dtype:
        wanted = f"({frame.num_pilots + num_symbols}, 2) {frame.codes_format.dtype}"
        raise ConfigError(f"codes must be {wanted}, got {frame.codes.shape} {frame.codes.dtype}")
    if len(frame.fingerprint) != FINGERPRINT_BYTES:
        raise ConfigError(f"fingerprint must be {FINGERPRINT_BYTES} bytes, got {len(frame.fingerprint)}")
    if not 0 <= frame.num_pilots <= MAX_PILOTS:
        raise ConfigError(f"num_pilots must be 0..{MAX_PILOTS}, got {frame.num_pilots}")
    if max(frame.sequence, frame.capture_time_ns) > MAX_COUNT:
        raise ConfigError(
            f"sequence and capture_time_ns must be 0..{MAX_COUNT}, got {frame.sequence} and {frame.capture_time_ns}"
        )
    payload = np.ascontiguousarray(frame.codes).tobytes()
    payload_crc = zlib.crc32(payload)
    if Flags.CHANNEL_APPLIED in frame.flags and frame.sent_crc is None:
        raise ConfigError("a frame that went through a channel must keep the transmitter's sent_crc")
    sent_crc = frame.sent_crc if Flags.CHANNEL_APPLIED in frame.flags else payload_crc
    try:
        header = _HEADER.pack(
            MAGIC,
            VERSION,
            HEADER_BYTES,
            frame.flags,
            frame.stream_id,
            frame.sequence,
            frame.capture_time_ns,
            frame.fingerprint,
            num_symbols,
            frame.num_pilots,
            frame.rate.rate_id,
            frame.codes_format,
            frame.source_height_px,
            frame.source_width_px,
            sent_crc,
            payload_crc,
            0,
        )
    except struct.error as error:
        raise ConfigError(f"a header field does not fit the wire format: {error}") from None
    signed = header[:_HEADER_CRC_OFFSET]
    return signed + zlib.crc32(signed).to_bytes(4, "little") + payload


def unpack(data: bytes | memoryview) -> Frame:
    """Parse and check foreign bytes.

    Parameters
    ----------
    data : one whole message; a memoryview must be contiguous

    Returns
    -------
    frame : a frame whose header, sizes and both checksums hold; `codes` is a read-only view

    Raises
    ------
    DecodeError
        For every other input: too short, too long, foreign, another version, damaged.
    """
    data = memoryview(data).toreadonly().cast("B")
    if len(data) > MAX_FRAME_BYTES:
        raise DecodeError(f"oversized: {len(data)} bytes, a frame has at most {MAX_FRAME_BYTES}")
    if len(data) < HEADER_BYTES:
        raise DecodeError(f"truncated: {len(data)} bytes, a header alone has {HEADER_BYTES}")
    (
        magic,
        version,
        header_bytes,
        flags,
        stream_id,
        sequence,
        capture_time_ns,
        fingerprint,
        num_symbols,
        num_pilots,
        rate_id,
        codes_format,
        source_height_px,
        source_width_px,
        sent_crc,
        payload_crc,
        header_crc,
    ) = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise DecodeError(f"foreign bytes: magic is {magic!r}, expected {MAGIC!r}")
    if version != VERSION:
        raise DecodeError(f"frame version {version}, this receiver reads {VERSION}; update the older end")
    if zlib.crc32(data[:_HEADER_CRC_OFFSET]) != header_crc:
        raise DecodeError("header checksum does not match: the header was damaged on the way")
    if header_bytes != HEADER_BYTES or flags & ~_KNOWN_FLAGS or flags == _KNOWN_FLAGS:
        raise DecodeError(f"header of {header_bytes} bytes with flags {flags:#06x} is not of version {VERSION}")
    if max(sequence, capture_time_ns) > MAX_COUNT:
        raise DecodeError(
            f"implausible header: sequence {sequence}, captured at {capture_time_ns} ns; neither can exceed {MAX_COUNT}"
        )
    rate = rate_of_id(rate_id)
    if codes_format not in CodesFormat.__members__.values():
        raise DecodeError(f"codes format {codes_format} is unknown")
    is_end = bool(flags & Flags.END_OF_STREAM)
    if num_symbols != (0 if is_end else rate.num_symbols) or num_pilots > (0 if is_end else MAX_PILOTS):
        raise DecodeError(f"{num_symbols} symbols and {num_pilots} pilots do not fit rate {rate.name}")
    payload = data[HEADER_BYTES:]
    expected_bytes = (num_symbols + num_pilots) * CodesFormat(codes_format).symbol_bytes
    if len(payload) != expected_bytes:
        raise DecodeError(f"truncated: payload of {len(payload)} bytes, the header promises {expected_bytes}")
    if zlib.crc32(payload) != payload_crc:
        raise DecodeError("payload checksum does not match: the payload was damaged on the way")
    if not flags & Flags.CHANNEL_APPLIED and sent_crc != payload_crc:
        raise DecodeError("payload is not the one that was sent, and no software channel marked the change")
    return Frame(
        stream_id=stream_id,
        sequence=sequence,
        capture_time_ns=capture_time_ns,
        fingerprint=fingerprint,
        rate=rate,
        codes=np.frombuffer(payload, dtype=CodesFormat(codes_format).dtype).reshape(-1, 2),
        codes_format=CodesFormat(codes_format),
        num_pilots=num_pilots,
        source_height_px=source_height_px,
        source_width_px=source_width_px,
        flags=Flags(flags),
        sent_crc=sent_crc,
    )
