"""What the receiver answers with."""

from __future__ import annotations

from dataclasses import dataclass

from semlink.frame import FrameId

__all__ = ["Match"]


@dataclass(frozen=True)
class Match:
    """The answer to one frame.

    Attributes
    ----------
    entry_id, label, source, image_sha256 : the knowledge base's entry; see `edge_rx.kb.Record`
    codec : with which the image was sent; it decides what the score means
    score : how alike entry and what was sent are, as far as the codec tells; -1 .. 1, see docs/definitions.md
    accepted : whether the score reaches the receiver's `min_score`
    capture_time_ns, matched_time_ns : Unix times at which the image was in the transmitter's
        memory and the match in the receiver's [ns]
    latency_ms : from the one to the other; means something if both hosts' clocks agree
    stage_ms : milliseconds of unpack, dequantize, decode (with equalising), search and, over
        all of them, receive_to_match. Of frames that were answered together, decode and search are
        those of all, and receive_to_match also what each waited for the others
    num_symbols, num_pilots : channel uses that carried the image, and those that carried pilots
    payload_cbr, total_cbr : CBR without and with the pilots; None if the frame does not tell the
        picture's size
    """

    frame_id: FrameId
    entry_id: int
    label: str
    source: str
    image_sha256: str
    codec: str
    score: float
    accepted: bool
    capture_time_ns: int
    matched_time_ns: int
    latency_ms: float
    stage_ms: dict[str, float]
    num_symbols: int
    num_pilots: int
    payload_cbr: float | None
    total_cbr: float | None
