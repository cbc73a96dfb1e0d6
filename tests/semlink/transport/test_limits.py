"""What a socket waits for, for how long, and how Ctrl-C ends it."""

from __future__ import annotations

import contextlib
import time

import pytest
import zmq

from semlink.errors import ConfigError, TransportError
from semlink.frame import MAX_FRAME_BYTES
from semlink.transport import FrameReceiver, FrameSender, SocketLimits
from tests.support.deadlines import DEADLINE_S
from tests.support.processes import start_python
from tests.support.sockets import free_port, receive_all

IMPATIENT = SocketLimits(peer_timeout_s=0.3, linger_s=0.0)


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
        with pytest.raises(ConfigError, match=r"must be (at least 1|0 or more|above 0), got"):
            SocketLimits(**limits)

    def test_nothing_is_left_to_libzmqs_defaults(self, monkeypatch: pytest.MonkeyPatch) -> None:
        options: dict[int, object] = {}
        set_option = zmq.Socket.setsockopt

        def record(socket: zmq.Socket[bytes], option: int, value: int) -> None:
            options[option] = value
            set_option(socket, option, value)

        monkeypatch.setattr(zmq.Socket, "setsockopt", record)
        FrameReceiver("tcp://127.0.0.1:*", limits=SocketLimits(high_water_mark=7, linger_s=1.5)).close()
        assert (options[zmq.RCVHWM], options[zmq.SNDHWM], options[zmq.LINGER]) == (7, 7, 1500)
        assert options[zmq.MAXMSGSIZE] == 16 * MAX_FRAME_BYTES

    def test_hurry_shortens_every_wait(self) -> None:
        with FrameSender(f"tcp://127.0.0.1:{free_port()}", limits=SocketLimits(peer_timeout_s=60.0)) as sender:
            sender.hurry(0.2)
            start_s = time.monotonic()
            with pytest.raises(TransportError, match=r"for 0\.2 s"):
                sender.send(b"frame")
            assert time.monotonic() - start_s < DEADLINE_S


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
