"""Counts the lost, repeated and reordered frames of each stream from sequence numbers alone."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from semlink.frame import FrameId

__all__ = ["MAX_STREAMS", "SequenceTracker", "StreamCount", "StreamTotals"]

MAX_STREAMS = 1024
"""Largest number of streams with counts of their own, so that a peer that invents stream ids cannot fill the memory."""

_WINDOW_FRAMES = 1 << 16
"""How far back a repeat is recognised; bounds the memory of an endless stream."""
_WINDOW_MASK = (1 << _WINDOW_FRAMES) - 1


@dataclass
class StreamCount:
    """Counts of one stream.

    Attributes
    ----------
    num_received : distinct frames received
    num_duplicated : repeats of a frame received before
    num_reordered : frames received after one with a larger sequence number
    num_sent : frames that the end-of-stream frame announced; None while the stream is open
    lowest, highest : smallest and largest sequence received; -1 before the first frame
    """

    num_received: int = 0
    num_duplicated: int = 0
    num_reordered: int = 0
    num_sent: int | None = None
    lowest: int = -1
    highest: int = -1
    _received: int = field(default=0, repr=False)
    """Bit i is set if frame `highest` - i was received."""

    @property
    def num_before_start(self) -> int:
        """Frames with smaller sequence numbers than any received one.

        They were sent before this receiver started, or were lost after that: sequence numbers do not say which, so
        `num_lost` leaves them out.
        """
        return self.lowest if self.num_received else self.num_sent or 0

    @property
    def num_lost(self) -> int:
        """Frames sent after the first received one and not received; the tail counts once the stream ended."""
        expected = self.highest + 1 if self.num_sent is None else self.num_sent
        return max(0, expected - self.num_before_start - self.num_received)

    def observe(self, sequence: int) -> bool:
        """Count a frame; False if it is a repeat, or too old to be distinguished from one."""
        age = self.highest - sequence
        if age >= _WINDOW_FRAMES or (age >= 0 and self._received >> age & 1):
            self.num_duplicated += 1
            return False
        if age < 0:
            self._received = (self._received << min(-age, _WINDOW_FRAMES) | 1) & _WINDOW_MASK
            self.highest = sequence
        else:
            self._received |= 1 << age
            self.num_reordered += 1
        self.lowest = min(self.lowest, sequence) if self.num_received else sequence
        self.num_received += 1
        return True


@dataclass(frozen=True)
class StreamTotals:
    """Sums over all streams, see `StreamCount`, and the number of streams."""

    num_streams: int = 0
    num_received: int = 0
    num_lost: int = 0
    num_before_start: int = 0
    num_duplicated: int = 0
    num_reordered: int = 0


_SUMMED = ("num_received", "num_lost", "num_before_start", "num_duplicated", "num_reordered")


class SequenceTracker:
    """A `StreamCount` for each of the `MAX_STREAMS` most recent streams, and totals of all.

    A stream that was dropped for a newer one and returns counts as a new one.

    Examples
    --------
    >>> tracker = SequenceTracker()
    >>> [tracker.observe(FrameId(7, sequence)) for sequence in (4, 6, 6)]
    [True, True, False]
    >>> stream = tracker.streams[7]
    >>> stream.num_before_start, stream.num_lost, stream.num_duplicated
    (4, 1, 1)
    """

    def __init__(self) -> None:
        self.streams: OrderedDict[int, StreamCount] = OrderedDict()
        """By stream id, the least recently received first."""
        self._dropped: Counter[str] = Counter()

    def observe(self, frame_id: FrameId) -> bool:
        """Count a frame; False if it is a repeat and should be dropped."""
        return self._stream(frame_id.stream_id).observe(frame_id.sequence)

    def close(self, end: FrameId) -> None:
        """Take note of an end-of-stream frame, whose sequence is the number of frames sent."""
        self._stream(end.stream_id).num_sent = end.sequence

    def totals(self) -> StreamTotals:
        """Sum up all streams, those that were dropped included."""
        sums = self._dropped.copy()
        for stream in self.streams.values():
            _add(sums, stream)
        return StreamTotals(**sums)

    def _stream(self, stream_id: int) -> StreamCount:
        if stream_id not in self.streams:
            self.streams[stream_id] = StreamCount()
            if len(self.streams) > MAX_STREAMS:
                _add(self._dropped, self.streams.popitem(last=False)[1])
        self.streams.move_to_end(stream_id)
        return self.streams[stream_id]


def _add(sums: Counter[str], stream: StreamCount) -> None:
    sums.update({"num_streams": 1} | {name: getattr(stream, name) for name in _SUMMED})
