"""The reverse path: who receives what, and whether anybody wants the codebook."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq

from semlink.codebook_chunks import CodebookChunk, split
from semlink.feedback import ChunkSubscriber, ReportPublisher, ReportSubscriber
from semlink.receiver_report import ReceiverReport
from tests.support.deadlines import DEADLINE_S, wait_until

REPORT = ReceiverReport(knowledge_base="ab" * 32)
(CHUNK,) = split(b"codebook")


@pytest.fixture
def publisher() -> Iterator[ReportPublisher]:
    with ReportPublisher("tcp://127.0.0.1:*") as bound:
        yield bound


def receive(subscriber: ChunkSubscriber) -> CodebookChunk:
    data = subscriber.receive(DEADLINE_S)
    assert data is not None
    return CodebookChunk.unpack(data)


def wait_for_a_report(publisher: ReportPublisher, subscriber: ReportSubscriber) -> None:
    def arrives() -> bool:
        publisher.publish(REPORT)
        return subscriber.newest() is not None

    wait_until(arrives)


class TestChunks:
    def test_are_wanted_while_somebody_subscribes(self, publisher: ReportPublisher) -> None:
        assert not publisher.is_codebook_wanted
        with ChunkSubscriber(publisher.endpoint) as first:
            wait_until(lambda: publisher.is_codebook_wanted)
            publisher.publish_chunk(CHUNK)
            assert receive(first) == CHUNK
            with ChunkSubscriber(publisher.endpoint) as second:

                def arrives() -> bool:
                    publisher.publish_chunk(CHUNK)
                    return second.receive(0.0) is not None

                wait_until(arrives)
            assert publisher.is_codebook_wanted
        wait_until(lambda: not publisher.is_codebook_wanted)

    def test_reports_and_chunks_do_not_mix(self, publisher: ReportPublisher) -> None:
        with ReportSubscriber(publisher.endpoint) as reports, ChunkSubscriber(publisher.endpoint) as chunks:
            wait_until(lambda: publisher.is_codebook_wanted)
            wait_for_a_report(publisher, reports)
            for _ in range(3):
                publisher.publish_chunk(CHUNK)
                publisher.publish(REPORT)
            assert [receive(chunks) for _ in range(3)] == [CHUNK] * 3
            assert chunks.receive(0.0) is None
            reports.wait(DEADLINE_S)
            assert reports.newest() == REPORT

    def test_a_transmitter_without_them_reads_its_reports_on(self, publisher: ReportPublisher) -> None:
        """An older one subscribes to everything: its chunks are no reports, and are dropped."""
        with zmq.Context() as context, context.socket(zmq.SUB) as older:
            older.setsockopt(zmq.LINGER, 0)
            older.setsockopt(zmq.SUBSCRIBE, b"")
            older.connect(publisher.endpoint)
            messages: list[bytes] = []

            def both_arrive() -> bool:
                publisher.publish(REPORT)
                publisher.publish_chunk(CHUNK)
                messages.extend([older.recv()] if older.poll(0) else [])
                return {REPORT.pack(), CHUNK.pack()} <= set(messages)

            wait_until(both_arrive)
            assert not publisher.is_codebook_wanted, "it subscribes to no chunks"

    @pytest.mark.parametrize("subscription", [b"", b"SMC", b"SMCBx", b"{", b"SMCB" + bytes(300)])
    def test_other_subscriptions_want_no_codebook(self, publisher: ReportPublisher, subscription: bytes) -> None:
        with zmq.Context() as context, context.socket(zmq.SUB) as foreign:
            foreign.setsockopt(zmq.LINGER, 0)
            foreign.setsockopt(zmq.SUBSCRIBE, subscription)
            foreign.connect(publisher.endpoint)
            with ReportSubscriber(publisher.endpoint) as reports:
                wait_for_a_report(publisher, reports)
                assert not publisher.is_codebook_wanted

    def test_are_wanted_again_after_the_receiver_was_restarted(self) -> None:
        with ReportPublisher("tcp://127.0.0.1:*") as before:
            endpoint = before.endpoint
            subscriber = ChunkSubscriber(endpoint)
            wait_until(lambda: before.is_codebook_wanted)
        with subscriber, ReportPublisher(endpoint) as after:
            # A subscriber subscribes again in its next call.
            wait_until(lambda: subscriber.receive(0.0) is None and after.is_codebook_wanted)
            after.publish_chunk(CHUNK)
            assert receive(subscriber) == CHUNK


def test_bytes_that_are_no_report_are_dropped(publisher: ReportPublisher, caplog: pytest.LogCaptureFixture) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as foreign:
        foreign.setsockopt(zmq.LINGER, 0)
        port = foreign.bind_to_random_port("tcp://127.0.0.1")
        with ReportSubscriber(f"tcp://127.0.0.1:{port}") as subscriber:

            def is_dropped() -> bool:
                foreign.send(b'{"version":')
                foreign.send(REPORT.pack())
                return subscriber.newest() == REPORT and "dropped a report" in caplog.text

            wait_until(is_dropped)
