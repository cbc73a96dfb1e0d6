"""Ports of this machine, and messages that arrive on them."""

from __future__ import annotations

import socket

from semlink.transport import FrameReceiver
from tests.support.deadlines import DEADLINE_S


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def receive_all(receiver: FrameReceiver, count: int) -> list[bytes]:
    """Wait for so many messages."""
    messages: list[bytes] = []
    while len(messages) < count:
        message = receiver.receive(DEADLINE_S)
        assert message is not None, f"{len(messages)} of {count} messages came"
        messages.append(message)
    return messages
