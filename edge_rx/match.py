"""The receiver's answer to a frame."""

from __future__ import annotations

import time

import msgspec

from edge_rx.decoders.base import Candidate
from edge_rx.kb.records import Record
from semlink.frame import Frame, FrameId
from semlink.rates import channel_bandwidth_ratio

__all__ = ["Match", "MatchFields"]


class MatchFields(msgspec.Struct, frozen=True, kw_only=True):
    """What a `Match` and its line in the results, `edge_rx.results.Result`, both hold.

    Attributes
    ----------
    knowledge_base : fingerprint of the knowledge base that numbers the entry, in hex, as `semlink kb info` shows it.
        None in results of versions that did not record it
    entry_id, label, source, image_sha256 : the knowledge base's entry; see `edge_rx.kb.Record`
    codec : codec of the frame, which defines the scale of the score
    score : similarity of the entry and the transmitted image as the codec estimates it; -1 .. 1, see
        docs/definitions.md
    confidence : probability that the answer is right, 0 .. 1, comparable between codecs, rates and SNRs: that the image
        has the entry's label, or, where the entry has none, that it is the nearest one; given that the knowledge base
        has such an image. None in results of versions that did not estimate it
    accepted : whether the confidence reaches the receiver's `min_confidence`
    capture_time_ns, matched_time_ns : Unix times at which the image was in the transmitter's memory and the match in
        the receiver's [ns]
    latency_ms : difference of the two; meaningful if both hosts' clocks agree
    stage_ms : milliseconds of unpack, dequantize, decode (with equalising), search and, over all of them,
        receive_to_match. Of frames that were answered together, decode and search are those of all, and
        receive_to_match includes the time that each waited for the others
    num_symbols, num_pilots : channel uses of the image, and of its pilots
    payload_cbr, total_cbr : CBR without and with the pilots; None if the frame lacks the image's size
    """

    knowledge_base: str | None = None
    entry_id: int
    label: str
    source: str
    image_sha256: str
    codec: str
    score: float
    accepted: bool
    confidence: float | None = None
    capture_time_ns: int
    matched_time_ns: int
    latency_ms: float
    stage_ms: dict[str, float]
    num_symbols: int
    num_pilots: int
    payload_cbr: float | None
    total_cbr: float | None


class Match(MatchFields, frozen=True):
    """The answer to one frame; see `MatchFields`."""

    frame_id: FrameId

    @classmethod
    def of(
        cls,
        frame: Frame,
        candidate: Candidate,
        record: Record,
        *,
        knowledge_base: str,
        codec: str,
        accepted: bool,
        stage_ms: dict[str, float],
    ) -> Match:
        """The match of a frame with a candidate, known from now on."""
        matched_time_ns = time.time_ns()
        num_symbols = frame.rate.num_symbols
        return cls(
            frame_id=frame.frame_id,
            knowledge_base=knowledge_base,
            entry_id=candidate.entry_id,
            label=record.label,
            source=record.source,
            image_sha256=record.image_sha256,
            codec=codec,
            score=candidate.score,
            confidence=candidate.confidence,
            accepted=accepted,
            capture_time_ns=frame.capture_time_ns,
            matched_time_ns=matched_time_ns,
            latency_ms=(matched_time_ns - frame.capture_time_ns) / 1e6,
            stage_ms=stage_ms,
            num_symbols=num_symbols,
            num_pilots=frame.num_pilots,
            payload_cbr=_cbr(frame, num_symbols),
            total_cbr=_cbr(frame, num_symbols + frame.num_pilots),
        )

    def as_dict(self) -> dict[str, object]:
        """The match as one flat record, for tables such as pandas': `pandas.DataFrame(match.as_dict() for ...)`."""
        fields = msgspec.structs.asdict(self)
        frame_id, stage_ms = fields.pop("frame_id"), fields.pop("stage_ms")
        stages = {f"{stage}_ms": milliseconds for stage, milliseconds in stage_ms.items()}
        return {"stream_id": f"{frame_id.stream_id:016x}", "sequence": frame_id.sequence, **fields, **stages}


def _cbr(frame: Frame, num_symbols: int) -> float | None:
    height_px, width_px = frame.source_height_px, frame.source_width_px
    if not height_px or not width_px:
        return None
    return channel_bandwidth_ratio(num_symbols, height_px=height_px, width_px=width_px)
