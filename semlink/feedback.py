"""Reverse path over ZeroMQ, PUB to SUB: reports of a receiver to all, chunks of its codebook to those that lack it.

Both travel over one address. A message's first bytes are its topic, by which the publisher sends each subscriber only
what it subscribes to, and knows whether anybody wants the codebook.
"""

from __future__ import annotations

import logging
import time

import zmq

from semlink.codebook_chunks import CHUNK_MAGIC, MAX_CHUNK_MESSAGE_BYTES, CodebookChunk
from semlink.errors import DecodeError
from semlink.receiver_report import MAX_REPORT_BYTES, REPORT_PREFIX, ReceiverReport
from semlink.sockets import Socket, SocketLimits

__all__ = ["ChunkSubscriber", "ReportPublisher", "ReportSubscriber"]

_log = logging.getLogger(__name__)
_LIMITS = SocketLimits(linger_s=0.0)
_MAX_SUBSCRIPTION_BYTES = 256
_LONGEST_DRAIN_S = 0.005
"""Longest time for reading changes of subscriptions, so that a flood of them does not hold up the receiver [s]."""


class ReportPublisher(Socket):
    """The PUB end: sent to all subscribers, without waiting for any; what a slow one does not read is dropped.

    Parameters
    ----------
    endpoint : see `semlink.transport.FrameSender`; it is bound
    """

    def __init__(self, endpoint: str) -> None:
        # XPUB is PUB that also hands out the subscriptions, which PUB keeps to itself.
        super().__init__(zmq.XPUB, endpoint, bind=True, limits=_LIMITS, max_message_bytes=_MAX_SUBSCRIPTION_BYTES)
        self._is_codebook_wanted = False

    def publish(self, report: ReceiverReport) -> None:
        """Send a report to all subscribed transmitters."""
        self._socket.send(report.pack())

    def publish_chunk(self, chunk: CodebookChunk) -> None:
        """Send a chunk to the transmitters that fetch the codebook."""
        self._socket.send(chunk.pack())

    @property
    def is_codebook_wanted(self) -> bool:
        """Whether a transmitter subscribes to chunks now; a closed connection ends its subscriptions."""
        end_s = time.monotonic() + _LONGEST_DRAIN_S
        while self._socket.poll(0, zmq.POLLIN):
            # libzmq passes on the first subscription to a topic and the end of the last one, and other messages.
            subscription = self._socket.recv(zmq.NOBLOCK)
            if subscription[1:] == CHUNK_MAGIC and subscription[:1] in (b"\0", b"\1"):
                self._is_codebook_wanted = subscription[0] == 1
            if time.monotonic() > end_s:
                break
        return self._is_codebook_wanted


class ReportSubscriber(Socket):
    """The SUB end of receiver reports; only the newest is kept."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(zmq.SUB, endpoint, bind=False, limits=_LIMITS, max_message_bytes=MAX_REPORT_BYTES + 1)
        self._socket.setsockopt(zmq.SUBSCRIBE, REPORT_PREFIX)
        self._has_warned = False

    def wait(self, timeout_s: float) -> None:
        """Wait until a report has arrived, or for `timeout_s`."""
        self._socket.poll(int(timeout_s * 1000), zmq.POLLIN)

    def newest(self) -> ReceiverReport | None:
        """The newest report since the last call; None if there was none. Foreign bytes are logged and dropped."""
        newest = None
        # Bounded, so that a flood of reports does not delay an image.
        for _ in range(self.limits.high_water_mark):
            if not self._socket.poll(0, zmq.POLLIN):
                break
            try:
                newest = ReceiverReport.unpack(self._socket.recv(zmq.NOBLOCK))
            except DecodeError as error:
                _log.log(logging.INFO if self._has_warned else logging.WARNING, "dropped a report: %s", error)
                self._has_warned = True
        return newest


class ChunkSubscriber(Socket):
    """The SUB end of a codebook's chunks, open while a transmitter fetches one."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(zmq.SUB, endpoint, bind=False, limits=_LIMITS, max_message_bytes=MAX_CHUNK_MESSAGE_BYTES + 1)
        self._socket.setsockopt(zmq.SUBSCRIBE, CHUNK_MAGIC)

    def receive(self, timeout_s: float) -> bytes | None:
        """Wait for a message.

        Returns
        -------
        data : the message's bytes, not yet checked; None if `timeout_s` passed without one
        """
        if not self._socket.poll(int(timeout_s * 1000), zmq.POLLIN):
            return None
        return bytes(self._socket.recv(zmq.NOBLOCK))
