"""Frames over real sockets, on ports and paths that the test draws."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from semlink.errors import ConfigError, TransportError
from semlink.frame import MAX_FRAME_BYTES
from semlink.transport import FrameReceiver, FrameSender, SocketLimits, zmq_version
from tests.support.deadlines import DEADLINE_S
from tests.support.processes import start_python

IMPATIENT = SocketLimits(peer_timeout_s=0.3, linger_s=0.0)


@pytest.fixture
def receiver() -> Iterator[FrameReceiver]:
    with FrameReceiver("tcp://127.0.0.1:*") as bound:
        yield bound


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def receive_all(receiver: FrameReceiver, count: int) -> list[bytes]:
    messages = []
    while len(messages) < count:
        message = receiver.receive(DEADLINE_S)
        assert message is not None, f"{len(messages)} of {count} messages came"
        messages.append(message)
    return messages


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


class TestLimits:
    def test_nobody_there(self) -> None:
        endpoint = f"tcp://127.0.0.1:{free_port()}"
        start_s = time.monotonic()
        with (
            FrameSender(endpoint, limits=IMPATIENT) as sender,
            pytest.raises(TransportError, match=f"nobody took a frame at {endpoint} for 0.3 s; start the receiver"),
        ):
            sender.send(b"frame")
        assert 0.25 < time.monotonic() - start_s < DEADLINE_S

    def test_nobody_connected(self) -> None:
        with (
            FrameSender("tcp://127.0.0.1:*", bind=True, limits=IMPATIENT) as sender,
            pytest.raises(TransportError, match="nobody took a frame"),
        ):
            sender.send(b"frame")

    def test_high_water_mark_stops_a_sender_whose_receiver_sleeps(self) -> None:
        """Memory is bounded: a message that nobody reads is refused, not piled up."""
        few = SocketLimits(high_water_mark=2, linger_s=0.0, peer_timeout_s=0.3)
        with (
            FrameReceiver("tcp://127.0.0.1:*", limits=few) as receiver,
            FrameSender(receiver.endpoint, limits=few) as sender,
        ):
            message = bytes(10 * MAX_FRAME_BYTES)
            num_sent = 0
            with pytest.raises(TransportError, match="nobody took a frame"):  # noqa: PT012
                while num_sent < 10_000:
                    sender.send(message)
                    num_sent += 1
            # Two high-water marks and what the kernel's TCP buffers hold (a few MB).
            assert 2 <= num_sent < 500
            assert receive_all(receiver, 1) == [message]

    def test_linger_bounds_the_wait_of_closing(self) -> None:
        limits = SocketLimits(high_water_mark=100, linger_s=0.3, peer_timeout_s=0.3)
        receiver = FrameReceiver("tcp://127.0.0.1:*", limits=SocketLimits(high_water_mark=1, linger_s=0.0))
        sender = FrameSender(receiver.endpoint, limits=limits)
        for _ in range(90):
            sender.send(bytes(15 * MAX_FRAME_BYTES))
        start_s = time.monotonic()
        sender.close()
        assert time.monotonic() - start_s < DEADLINE_S
        receiver.close()

    def test_leaving_through_an_error_does_not_linger(self) -> None:
        limits = SocketLimits(high_water_mark=100, linger_s=60.0, peer_timeout_s=0.3)
        start_s = time.monotonic()
        with (
            FrameReceiver("tcp://127.0.0.1:*", limits=SocketLimits(high_water_mark=1)) as receiver,
            contextlib.suppress(KeyboardInterrupt),
            FrameSender(receiver.endpoint, limits=limits) as sender,
        ):
            for _ in range(90):
                sender.send(bytes(15 * MAX_FRAME_BYTES))
            raise KeyboardInterrupt
        assert time.monotonic() - start_s < DEADLINE_S

    @pytest.mark.parametrize(
        "limits", [{"high_water_mark": 0}, {"linger_s": -1.0}, {"peer_timeout_s": 0.0}, {"high_water_mark": -5}]
    )
    def test_bad_limits(self, limits: dict[str, float]) -> None:
        with pytest.raises(ConfigError, match="high_water_mark must be at least 1"):
            SocketLimits(**limits)  # type: ignore[arg-type]

    def test_nothing_is_left_to_libzmqs_defaults(self) -> None:
        limits = SocketLimits(high_water_mark=7, linger_s=1.5)
        with FrameReceiver("tcp://127.0.0.1:*", limits=limits) as receiver:
            options = {name: receiver._socket.getsockopt(getattr(zmq, name)) for name in ("RCVHWM", "SNDHWM", "LINGER")}
            assert options == {"RCVHWM": 7, "SNDHWM": 7, "LINGER": 1500}
            assert receiver._socket.getsockopt(zmq.MAXMSGSIZE) == 16 * MAX_FRAME_BYTES

    def test_hurry_shortens_every_wait(self) -> None:
        with FrameSender(f"tcp://127.0.0.1:{free_port()}", limits=SocketLimits(peer_timeout_s=60.0)) as sender:
            sender.hurry(0.2)
            start_s = time.monotonic()
            with pytest.raises(TransportError, match=r"for 0\.2 s"):
                sender.send(b"frame")
            assert time.monotonic() - start_s < DEADLINE_S


class TestEndpoints:
    def test_port_in_use(self, receiver: FrameReceiver) -> None:
        with pytest.raises(TransportError, match=f"cannot bind {receiver.endpoint}: another process has this port"):
            FrameReceiver(receiver.endpoint)

    def test_port_is_free_again_after_close(self, receiver: FrameReceiver) -> None:
        endpoint = receiver.endpoint
        receiver.close()
        FrameReceiver(endpoint).close()

    @pytest.mark.parametrize(
        "endpoint", ["", "localhost:5555", "udp://127.0.0.1:1", "inproc://x", "http://a:1", "5555"]
    )
    @pytest.mark.parametrize("kind", [FrameSender, FrameReceiver])
    def test_other_schemes(self, kind: type[FrameSender] | type[FrameReceiver], endpoint: str) -> None:
        with pytest.raises(ConfigError, match=f'endpoint must start with tcp:// or ipc://, got "{endpoint}"'):
            kind(endpoint)

    @pytest.mark.parametrize(
        "endpoint",
        [
            "tcp://",
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:port",
            "tcp://127.0.0.1:99999",
            "tcp://:::",
            "tcp://:1",
            "ipc://",
        ],
    )
    @pytest.mark.parametrize("kind", [FrameSender, FrameReceiver])
    def test_malformed(self, kind: type[FrameSender] | type[FrameReceiver], endpoint: str) -> None:
        with pytest.raises(ConfigError, match=f'endpoint must be (tcp://HOST:PORT|ipc://PATH).*, got "{endpoint}"'):
            kind(endpoint)

    @pytest.mark.parametrize("endpoint", ["tcp://*:5555", "tcp://127.0.0.1:*", "tcp://127.0.0.1:0"])
    def test_where_to_listen_is_not_where_to_connect(self, endpoint: str) -> None:
        with pytest.raises(ConfigError, match="is where to listen; to connect, name the host and the port"):
            FrameSender(endpoint)

    def test_ipv6(self) -> None:
        if not socket.has_ipv6:
            pytest.skip("no IPv6 here")
        try:
            receiver = FrameReceiver("tcp://[::1]:*")
        except TransportError:
            pytest.skip("no IPv6 loopback here")
        with receiver, FrameSender(receiver.endpoint) as sender:
            sender.send(b"frame")
            assert receive_all(receiver, 1) == [b"frame"]

    def test_not_this_machines_address(self) -> None:
        with pytest.raises(TransportError, match=r"cannot bind tcp://192\.0\.2\.1:5555"):
            FrameReceiver("tcp://192.0.2.1:5555")

    def test_ipc_path_that_cannot_be(self, tmp_path: Path) -> None:
        for path in (tmp_path / "missing" / "s", tmp_path / ("x" * 200)):
            with pytest.raises(TransportError, match="cannot bind ipc://"):
                FrameReceiver(f"ipc://{path}")

    def test_version_is_libzmqs(self) -> None:
        assert zmq_version() == zmq.zmq_version()


class TestClose:
    @pytest.mark.parametrize("kind", [FrameSender, FrameReceiver])
    def test_is_idempotent(self, kind: type[FrameSender] | type[FrameReceiver]) -> None:
        end = kind("tcp://127.0.0.1:*", bind=True)
        end.close()
        end.close()
        with pytest.raises(ValueError, match="mine"), end:
            raise ValueError("mine")


@pytest.mark.process
class TestCtrlC:
    """Ctrl-C ends every wait of a socket."""

    BLOCKED_SEND = """
from semlink.transport import FrameSender
with FrameSender("tcp://127.0.0.1:{port}") as sender:
    print("ready", flush=True)
    sender.send(b"frame")
"""
    BLOCKED_RECEIVE = """
from semlink.transport import FrameReceiver
with FrameReceiver("tcp://127.0.0.1:*") as receiver:
    print("ready", flush=True)
    receiver.receive(60.0)
"""
    FULL_QUEUE = """
from semlink.transport import FrameReceiver, FrameSender, SocketLimits
limits = SocketLimits(high_water_mark=1, linger_s=60.0)
with FrameReceiver("tcp://127.0.0.1:*", limits=limits) as receiver:
    with FrameSender(receiver.endpoint, limits=limits) as sender:
        for index in range(1000):
            if index == 100:
                print("ready", flush=True)
            sender.send(bytes(10_000 if index < 100 else 250_000))
"""

    CLOSING = """
from semlink.transport import FrameReceiver, FrameSender, SocketLimits
receiver = FrameReceiver("tcp://127.0.0.1:*", limits=SocketLimits(high_water_mark=1))
with FrameSender(receiver.endpoint, limits=SocketLimits(high_water_mark=100, linger_s=60.0)) as sender:
    for _ in range(90):
        sender.send(bytes(250_000))
    print("ready", flush=True)
"""

    @pytest.mark.parametrize(
        "code",
        [BLOCKED_SEND, BLOCKED_RECEIVE, FULL_QUEUE, CLOSING],
        ids=["send", "receive", "full queue", "closing"],
    )
    def test_ends_a_wait(self, code: str) -> None:
        with start_python("-c", code.replace("{port}", str(free_port()))) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.until_blocked()
            assert "KeyboardInterrupt" in process.interrupt().stderr
