"""Counts what a stream lost, repeated or reordered, from sequence numbers alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from semlink.frame import FrameId

__all__ = ["SequenceTracker", "StreamCount"]

_WINDOW_FRAMES = 1 << 16
"""How far back a repeat is recognised; bounds the memory of an endless stream."""


@dataclass
class StreamCount:
    """What is known of one stream.

    Attributes
    ----------
    num_received : distinct frames seen
    num_duplicated : repeats of a frame seen before
    num_reordered : frames that came after a later one
    num_sent : frames that the end-of-stream frame announced; None while the stream is open
    """

    num_received: int = 0
    num_duplicated: int = 0
    num_reordered: int = 0
    num_sent: int | None = None
    highest: int = -1
    recent: set[int] = field(default_factory=set, repr=False)

    @property
    def num_lost(self) -> int:
        """Frames known to have been sent and not seen; the tail counts once the stream has ended."""
        expected = self.highest + 1 if self.num_sent is None else self.num_sent
        return max(0, expected - self.num_received)


class SequenceTracker:
    """Keeps a `StreamCount` for every stream heard.

    Examples
    --------
    >>> tracker = SequenceTracker()
    >>> [tracker.observe(FrameId(7, sequence)) for sequence in (0, 2, 2)]
    [True, True, False]
    >>> tracker.streams[7].num_lost, tracker.streams[7].num_duplicated
    (1, 1)
    """

    def __init__(self) -> None:
        self.streams: dict[int, StreamCount] = {}

    def observe(self, frame_id: FrameId) -> bool:
        """Count a frame; False if it is a repeat and should be dropped."""
        stream = self.streams.setdefault(frame_id.stream_id, StreamCount())
        sequence = frame_id.sequence
        if sequence in stream.recent or sequence <= stream.highest - _WINDOW_FRAMES:
            stream.num_duplicated += 1
            return False
        stream.num_received += 1
        stream.num_reordered += sequence < stream.highest
        stream.highest = max(stream.highest, sequence)
        stream.recent.add(sequence)
        if len(stream.recent) > 2 * _WINDOW_FRAMES:
            stream.recent = {s for s in stream.recent if s > stream.highest - _WINDOW_FRAMES}
        return True

    def close(self, end: FrameId) -> None:
        """Take note of an end-of-stream frame, whose sequence is the number of frames sent."""
        self.streams.setdefault(end.stream_id, StreamCount()).num_sent = end.sequence
