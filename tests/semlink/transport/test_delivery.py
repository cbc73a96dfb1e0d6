"""Frames over real sockets arrive in order, to the bit, and once."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest
import zmq

from semlink.errors import TransportError
from semlink.frame import MAX_FRAME_BYTES
from semlink.transport import FrameReceiver, FrameSender, SocketLimits
from tests.support.deadlines import DEADLINE_S
from tests.support.sockets import free_port, receive_all

IMPATIENT = SocketLimits(peer_timeout_s=0.3, linger_s=0.0)


class TestDelivery:
    def test_tcp_in_order_and_to_the_bit(self, receiver: FrameReceiver) -> None:
        sent = [bytes([index % 256]) * index for index in range(300)]
        with FrameSender(receiver.endpoint) as sender:
            for message in sent:
                sender.send(message)
            assert receive_all(receiver, len(sent)) == sent

    def test_ipc(self, tmp_path: Path) -> None:
        # A path of a socket has at most 107 bytes, and a test's folder may have more.
        with (
            FrameReceiver(f"ipc://{os.path.relpath(tmp_path)}/s") as receiver,
            FrameSender(receiver.endpoint) as sender,
        ):
            sender.send(b"frame")
            assert receive_all(receiver, 1) == [b"frame"]

    def test_the_other_way_round(self) -> None:
        """The transmitter listens, the receiver connects."""
        with (
            FrameSender("tcp://127.0.0.1:*", bind=True) as sender,
            FrameReceiver(sender.endpoint, bind=False) as receiver,
        ):
            sender.send(b"frame")
            assert receive_all(receiver, 1) == [b"frame"]

    def test_several_transmitters(self, receiver: FrameReceiver) -> None:
        with FrameSender(receiver.endpoint) as first, FrameSender(receiver.endpoint) as second:
            first.send(b"1")
            second.send(b"2")
            assert sorted(receive_all(receiver, 2)) == [b"1", b"2"]

    def test_drawn_port_is_told(self, receiver: FrameReceiver) -> None:
        assert int(receiver.endpoint.rpartition(":")[2]) > 0

    def test_receiver_started_after_the_transmitter(self) -> None:
        endpoint = f"tcp://127.0.0.1:{free_port()}"
        errors: list[Exception] = []

        def transmit() -> None:
            try:
                with FrameSender(endpoint) as sender:
                    for index in range(5):
                        sender.send(bytes([index]))
            except TransportError as error:
                errors.append(error)

        transmitter = threading.Thread(target=transmit)
        transmitter.start()
        # Longer than one wait of a blocked send: nothing of the stream may be lost meanwhile.
        transmitter.join(0.3)
        assert transmitter.is_alive()
        with FrameReceiver(endpoint) as late:
            assert receive_all(late, 5) == [bytes([index]) for index in range(5)]
        transmitter.join(DEADLINE_S)
        assert not errors

    def test_closing_hands_over_what_waits(self, receiver: FrameReceiver) -> None:
        with FrameSender(receiver.endpoint) as sender:
            for index in range(200):
                sender.send(index.to_bytes(2, "little") * 1000)
        assert len(receive_all(receiver, 200)) == 200

    def test_what_waits_is_taken_together(self, receiver: FrameReceiver) -> None:
        with FrameSender(receiver.endpoint) as sender:
            sent = [bytes([index]) for index in range(6)]
            before_ns = time.perf_counter_ns()
            for message in sent:
                sender.send(message)
            # A batch that is full waits for nothing more; one that is not, for its delay.
            first = receiver.receive_batch(DEADLINE_S, max_messages=4, delay_s=DEADLINE_S)
            rest = receiver.receive_batch(DEADLINE_S, max_messages=4, delay_s=0.2)
            assert [data for data, _ in first + rest] == sent
            assert (len(first), len(rest)) == (4, 2)
            times_ns = [before_ns, *(received_ns for _, received_ns in first + rest), time.perf_counter_ns()]
            assert times_ns == sorted(times_ns)
            assert times_ns[-1] - rest[0].received_ns > 0.19e9
            assert receiver.receive_batch(0.0, max_messages=4, delay_s=DEADLINE_S) == []

    def test_a_batch_without_delay_does_not_wait(self, receiver: FrameReceiver) -> None:
        with FrameSender(receiver.endpoint) as sender:
            sender.send(b"alone")
            assert [data for data, _ in receiver.receive_batch(DEADLINE_S, max_messages=64)] == [b"alone"]

    def test_silence(self, receiver: FrameReceiver) -> None:
        start_s = time.monotonic()
        assert receiver.receive(0.2) is None
        assert 0.15 < time.monotonic() - start_s < DEADLINE_S
        assert receiver.receive(0.0) is None
        assert receiver.receive(-1.0) is None

    def test_oversized_message_arrives_to_be_counted(self, receiver: FrameReceiver) -> None:
        with FrameSender(receiver.endpoint) as sender:
            sender.send(bytes(MAX_FRAME_BYTES + 1))
            assert receive_all(receiver, 1) == [bytes(MAX_FRAME_BYTES + 1)]

    def test_monstrous_message_costs_only_its_sender(self, receiver: FrameReceiver) -> None:
        """libzmq drops the connection, unread; another transmitter does not notice."""
        with FrameSender(receiver.endpoint) as honest, FrameSender(receiver.endpoint, limits=IMPATIENT) as monster:
            honest.send(b"before")
            assert receive_all(receiver, 1) == [b"before"]
            monster.send(bytes(64 * MAX_FRAME_BYTES))
            honest.send(b"after")
            assert receive_all(receiver, 1) == [b"after"]
            assert receiver.receive(0.2) is None

    def test_peer_that_speaks_no_zeromq(self, receiver: FrameReceiver) -> None:
        host, _, port = receiver.endpoint.removeprefix("tcp://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as foreign:
            foreign.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
            with FrameSender(receiver.endpoint) as sender:
                sender.send(b"frame")
                assert receive_all(receiver, 1) == [b"frame"]

    def test_parts_of_a_foreign_message_are_messages(self, receiver: FrameReceiver) -> None:
        with zmq.Context() as context, context.socket(zmq.PUSH) as foreign:
            foreign.connect(receiver.endpoint)
            foreign.send_multipart([b"part one", b"part two"])
            assert receive_all(receiver, 2) == [b"part one", b"part two"]


class TestClose:
    @pytest.mark.parametrize("kind", [FrameSender, FrameReceiver])
    def test_is_idempotent(self, kind: type[FrameSender] | type[FrameReceiver]) -> None:
        end = kind("tcp://127.0.0.1:*", bind=True)
        end.close()
        end.close()
        with pytest.raises(ValueError, match="mine"), end:
            raise ValueError("mine")
