"""A received message. Apart from `semlink.transport`, so that a receiver without sockets does not import zmq."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Message"]


class Message(NamedTuple):
    """The bytes of a message, not yet checked, and the `time.perf_counter_ns` at which they were in memory."""

    data: bytes
    received_ns: int
