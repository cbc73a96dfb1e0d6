"""Counting losses, repeats and reordering from sequence numbers alone."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from semlink.frame import FrameId
from semlink.sequence import MAX_STREAMS, SequenceTracker, StreamCount, StreamTotals

STREAM = 7


def observed(*sequences: int) -> StreamCount:
    tracker = SequenceTracker()
    for sequence in sequences:
        tracker.observe(FrameId(STREAM, sequence))
    return tracker.streams[STREAM]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=80))
def test_counts_agree_with_a_set(sequences: list[int]) -> None:
    stream = observed(*sequences)
    distinct = set(sequences)
    assert stream.num_received == len(distinct)
    assert stream.num_duplicated == len(sequences) - len(distinct)
    assert stream.num_before_start == min(sequences)
    assert stream.num_before_start + stream.num_lost + stream.num_received == max(sequences) + 1


@given(st.permutations(range(12)), st.integers(0, 12))
def test_nothing_is_lost_whatever_the_order(order: list[int], num_more: int) -> None:
    tracker = SequenceTracker()
    assert all(tracker.observe(FrameId(STREAM, sequence)) for sequence in order)
    tracker.close(FrameId(STREAM, 12 + num_more))
    assert tracker.streams[STREAM].num_lost == num_more


def test_repeat_is_told_to_the_caller() -> None:
    tracker = SequenceTracker()
    assert [tracker.observe(FrameId(STREAM, sequence)) for sequence in (0, 1, 1, 0, 2)] == [
        True, True, False, False, True,
    ]  # fmt: skip


def test_reordering() -> None:
    assert observed(0, 2, 1, 3).num_reordered == 1
    assert observed(0, 1, 2, 3).num_reordered == 0


def test_lost_tail_is_known_only_at_the_end() -> None:
    tracker = SequenceTracker()
    tracker.observe(FrameId(STREAM, 0))
    assert tracker.streams[STREAM].num_lost == 0
    tracker.close(FrameId(STREAM, 5))
    assert (tracker.streams[STREAM].num_sent, tracker.streams[STREAM].num_lost) == (5, 4)


def test_stream_of_which_only_the_end_came() -> None:
    """Lost, or sent before a receiver was connected: sequence numbers do not show which."""
    tracker = SequenceTracker()
    tracker.close(FrameId(STREAM, 5))
    assert (tracker.streams[STREAM].num_lost, tracker.streams[STREAM].num_before_start) == (0, 5)


def test_a_receiver_that_starts_in_mid_stream_has_lost_nothing() -> None:
    tracker = SequenceTracker()
    for sequence in (100_001, 100_003, 100_000):
        assert tracker.observe(FrameId(STREAM, sequence))
    stream = tracker.streams[STREAM]
    assert (stream.num_before_start, stream.num_lost, stream.num_received) == (100_000, 1, 3)
    tracker.close(FrameId(STREAM, 100_006))
    assert (stream.num_before_start, stream.num_lost) == (100_000, 3)


def test_strangers_cannot_fill_the_memory() -> None:
    tracker = SequenceTracker()
    tracker.observe(FrameId(STREAM, 0))
    for stream_id in range(1000, 1000 + 3 * MAX_STREAMS):
        tracker.observe(FrameId(stream_id, 1))
        tracker.observe(FrameId(stream_id, 3))
        tracker.observe(FrameId(stream_id, 3))
        tracker.observe(FrameId(STREAM, stream_id))
    assert len(tracker.streams) == MAX_STREAMS
    assert tracker.streams[STREAM].num_received == 1 + 3 * MAX_STREAMS, "a stream that goes on keeps its counts"
    totals = tracker.totals()
    assert totals.num_streams == 1 + 3 * MAX_STREAMS
    assert totals.num_received == 1 + 9 * MAX_STREAMS
    assert totals.num_before_start == totals.num_duplicated == 3 * MAX_STREAMS
    assert totals.num_lost == 999 + 3 * MAX_STREAMS


def test_totals_of_nothing() -> None:
    assert SequenceTracker().totals() == StreamTotals()


def test_empty_stream() -> None:
    tracker = SequenceTracker()
    tracker.close(FrameId(STREAM, 0))
    assert (tracker.streams[STREAM].num_received, tracker.streams[STREAM].num_lost) == (0, 0)


def test_streams_are_counted_apart() -> None:
    tracker = SequenceTracker()
    assert tracker.observe(FrameId(1, 0))
    assert tracker.observe(FrameId(2, 0))
    assert {stream: count.num_received for stream, count in tracker.streams.items()} == {1: 1, 2: 1}


def test_memory_of_an_endless_stream_is_bounded() -> None:
    tracker = SequenceTracker()
    for sequence in range(200_000):
        tracker.observe(FrameId(STREAM, sequence))
    stream = tracker.streams[STREAM]
    assert (stream.num_received, stream.num_lost, stream.num_duplicated) == (200_000, 0, 0)
    assert len(pickle.dumps(stream)) < 10_000
    # Too old to be distinguished from a repeat: dropped rather than answered twice.
    assert not tracker.observe(FrameId(STREAM, 3))
    assert not tracker.observe(FrameId(STREAM, 200_000 - 65536))


def test_absurd_jump() -> None:
    """A hostile sequence number costs neither memory nor time."""
    stream = observed(0, 2**64 - 1)
    assert stream.num_received == 2
    assert len(pickle.dumps(stream)) < 10_000
    assert stream.num_lost == 2**64 - 2
