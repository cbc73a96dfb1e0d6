"""Frames over ZeroMQ, PUSH to PULL.

A sender has no queue without a peer: it waits for the peer, and logs that. A frame in the socket is not received yet:
frames in flight when a receiver dies are lost, and appear as a gap in the sequence at the next one.
"""

from __future__ import annotations

import logging
import math
import time

import zmq

from semlink.errors import TransportError
from semlink.frame import MAX_FRAME_BYTES
from semlink.interrupt import Interruption
from semlink.message import Message
from semlink.sockets import Socket, SocketLimits, zmq_version

__all__ = ["FrameReceiver", "FrameSender", "SocketLimits", "zmq_version"]

_log = logging.getLogger(__name__)
_MAX_MESSAGE_BYTES = 16 * MAX_FRAME_BYTES
"""Above the frame's own cap, so that an oversized frame reaches `unpack` and is counted; a message
larger than this makes libzmq drop the peer that sent it."""
_POLL_MS = 100
"""How long a blocked call may go without looking at signals; bounds the time that Ctrl-C takes."""


class FrameSender(Socket):
    """The PUSH end.

    Parameters
    ----------
    endpoint : tcp://HOST:PORT or ipc://PATH; with * as the port, a bound socket picks a free one, see `endpoint`
    bind : listen instead of connecting
    limits : see `SocketLimits`; its defaults if None
    interruption : ends a wait for a peer when set

    Raises
    ------
    ConfigError, TransportError
        If the endpoint is malformed, taken, or not this machine's.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        bind: bool = False,
        limits: SocketLimits | None = None,
        interruption: Interruption | None = None,
    ) -> None:
        super().__init__(zmq.PUSH, endpoint, bind=bind, limits=limits, max_message_bytes=_MAX_MESSAGE_BYTES)
        self._socket.setsockopt(zmq.SNDTIMEO, _POLL_MS)
        self._peer_timeout_s = self.limits.peer_timeout_s
        self._interruption = interruption

    def hurry(self, timeout_s: float) -> None:
        """Limit all waits from now on, after an interruption by the user."""
        self._peer_timeout_s = timeout_s
        self._interruption = None
        self._socket.setsockopt(zmq.LINGER, int(timeout_s * 1000))

    def send(self, data: bytes) -> None:
        """Hand one packed frame to the socket, waiting for a peer and for room.

        Raises
        ------
        TransportError
            If there was neither within `peer_timeout_s`.
        KeyboardInterrupt
            If the user interrupted the wait; the frame was not sent.
        """
        deadline_s = time.monotonic() + self._peer_timeout_s
        has_warned = False
        while True:
            try:
                self._socket.send(data, copy=True)
            except zmq.Again:
                if self._interruption is not None and self._interruption.is_set():
                    raise KeyboardInterrupt from None
                if time.monotonic() >= deadline_s:
                    raise TransportError(
                        f"nobody took a frame at {self.endpoint} for {self._peer_timeout_s:g} s;"
                        " start the receiver there, or check the address"
                    ) from None
                if not has_warned:
                    _log.warning("waiting for a receiver at %s", self.endpoint)
                    has_warned = True
            else:
                return


class FrameReceiver(Socket):
    """The PULL end; parameters and errors as of `FrameSender`, but it binds by default."""

    def __init__(self, endpoint: str, *, bind: bool = True, limits: SocketLimits | None = None) -> None:
        super().__init__(zmq.PULL, endpoint, bind=bind, limits=limits, max_message_bytes=_MAX_MESSAGE_BYTES)

    def receive(self, timeout_s: float) -> bytes | None:
        """Wait for one message.

        Returns
        -------
        data : the message's bytes, not yet checked; None if `timeout_s` passed without one
        """
        if not self._socket.poll(max(0, int(timeout_s * 1000)), zmq.POLLIN):
            return None
        return bytes(self._socket.recv(zmq.NOBLOCK))

    def receive_batch(self, timeout_s: float, *, max_messages: int, delay_s: float = 0.0) -> list[Message]:
        """Wait for one message, and take with it those that wait already.

        Parameters
        ----------
        timeout_s : how long to wait for the first
        max_messages : how many to take at most, at least 1
        delay_s : how long after the first to wait for more, in steps of a millisecond [s]

        Returns
        -------
        messages : in the order in which they came; none if `timeout_s` passed without one
        """
        data = self.receive(timeout_s)
        if data is None:
            return []
        batch = [Message(data, time.perf_counter_ns())]
        end_ns = batch[0].received_ns + round(delay_s * 1e9)
        while len(batch) < max_messages:
            left_ms = math.ceil((end_ns - time.perf_counter_ns()) / 1e6)
            data = self.receive(left_ms / 1000)
            if data is None:
                break
            batch.append(Message(data, time.perf_counter_ns()))
        return batch
