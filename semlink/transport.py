"""Frames over ZeroMQ, PUSH to PULL, and reports the other way, PUB to SUB; over tcp and ipc. The only importer of zmq.

Limits are explicit: how many frames may wait (high-water mark), how long a send may block, how
long a closing socket may take to hand over what waits (linger). A sender has no queue without a
peer: it waits for the peer, and logs that. A frame in the socket is not received yet: frames in
flight when a receiver dies are lost, and appear as a gap in the sequence at the next one.
"""

from __future__ import annotations

import logging
import math
import re
import time
from dataclasses import dataclass
from types import TracebackType

import zmq
from typing_extensions import Self

from semlink.errors import ConfigError, DecodeError, TransportError
from semlink.frame import MAX_FRAME_BYTES
from semlink.interrupt import Interruption
from semlink.message import Message
from semlink.receiver_report import MAX_REPORT_BYTES, ReceiverReport

__all__ = [
    "FrameReceiver",
    "FrameSender",
    "ReportPublisher",
    "ReportSubscriber",
    "SocketLimits",
    "zmq_version",
]

_log = logging.getLogger(__name__)
_MAX_MESSAGE_BYTES = 16 * MAX_FRAME_BYTES
"""Above the frame's own cap, so that an oversized frame reaches `unpack` and is counted; a message
larger than this makes libzmq drop the peer that sent it."""
_TCP_ENDPOINT = re.compile(r"tcp://(?P<host>\*|\[[^\]]+\]|[^:\[\]*]+):(?P<port>\*|\d{1,5})")
_MAX_PORT = 65535
_POLL_MS = 100
"""How long a blocked call may go without looking at signals; bounds the time that Ctrl-C takes."""


@dataclass(frozen=True)
class SocketLimits:
    """Limits of one socket.

    Attributes
    ----------
    high_water_mark : frames that may wait in the socket, at least 1
    linger_s : how long closing may take to hand over waiting frames [s]
    peer_timeout_s : how long a sender waits for a peer, or for room in its queue [s]
    """

    high_water_mark: int = 64
    linger_s: float = 1.5
    peer_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        # Written so that NaN, which compares false, is refused too.
        if self.high_water_mark < 1:
            raise ConfigError(f"high_water_mark must be at least 1, got {self.high_water_mark}")
        if not self.linger_s >= 0:
            raise ConfigError(f"linger_s must be 0 or more, got {self.linger_s:g}")
        if not self.peer_timeout_s > 0:
            raise ConfigError(f"peer-timeout-s must be above 0, got {self.peer_timeout_s:g}")


def zmq_version() -> str:
    """Version of libzmq."""
    return str(zmq.zmq_version())


def _check_endpoint(endpoint: str, *, bind: bool) -> None:
    """Refuse what libzmq would take at first and never reach, such as a port of six digits."""
    if not endpoint.startswith(("tcp://", "ipc://")):
        raise ConfigError(f'endpoint must start with tcp:// or ipc://, got "{endpoint}"')
    if endpoint.startswith("ipc://"):
        if endpoint == "ipc://":
            raise ConfigError('endpoint must be ipc://PATH, got "ipc://"')
        return
    parts = _TCP_ENDPOINT.fullmatch(endpoint)
    port = parts["port"] if parts else ""
    if parts is None or (port != "*" and int(port) > _MAX_PORT):
        raise ConfigError(f'endpoint must be tcp://HOST:PORT, the port at most {_MAX_PORT}, got "{endpoint}"')
    if not bind and (parts["host"] == "*" or port in ("*", "0")):
        raise ConfigError(f'"{endpoint}" is where to listen; to connect, name the host and the port')


class _Socket:
    """A socket in a context of its own, bound or connected, closed once."""

    def __init__(self, kind: int, endpoint: str, *, bind: bool, limits: SocketLimits) -> None:
        _check_endpoint(endpoint, bind=bind)
        self.limits = limits
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(kind)
        self._socket.setsockopt(zmq.LINGER, int(limits.linger_s * 1000))
        self._socket.setsockopt(zmq.SNDHWM, limits.high_water_mark)
        self._socket.setsockopt(zmq.RCVHWM, limits.high_water_mark)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_MESSAGE_BYTES)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        # On an IPv6 socket libzmq reports an IPv4 address as ::ffff:127.0.0.1, which nobody types.
        self._socket.setsockopt(zmq.IPV6, "[" in endpoint)
        try:
            if bind:
                self._socket.bind(endpoint)
            else:
                self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            verb = "bind" if bind else "connect to"
            in_use = "another process has this port; stop it or choose another"
            reason = in_use if error.errno == zmq.EADDRINUSE else error.strerror
            raise TransportError(f"cannot {verb} {endpoint}: {reason}") from None
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT) if bind else endpoint

    def close(self) -> None:
        """Close the socket; returns after what waits was handed over, or linger ran out."""
        if not self._context.closed:
            self._socket.close()
            self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None and not self._context.closed:
            # Leaving through an error or Ctrl-C: nobody waits for the peer any more.
            self._socket.setsockopt(zmq.LINGER, 0)
        self.close()


class FrameSender(_Socket):
    """The PUSH end.

    Parameters
    ----------
    endpoint : tcp://HOST:PORT or ipc://PATH; with * as the port, a bound socket picks a free one, see `endpoint`
    bind : listen instead of connecting
    limits : see `SocketLimits`
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
        super().__init__(zmq.PUSH, endpoint, bind=bind, limits=limits or SocketLimits())
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


class FrameReceiver(_Socket):
    """The PULL end; parameters and errors as of `FrameSender`, but it binds by default."""

    def __init__(self, endpoint: str, *, bind: bool = True, limits: SocketLimits | None = None) -> None:
        super().__init__(zmq.PULL, endpoint, bind=bind, limits=limits or SocketLimits())

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


class ReportPublisher(_Socket):
    """The PUB end of receiver reports: sent to all subscribers, without waiting for any."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(zmq.PUB, endpoint, bind=True, limits=SocketLimits(linger_s=0.0))

    def publish(self, report: ReceiverReport) -> None:
        """Send a report to all subscribed transmitters."""
        self._socket.send(report.pack())


class ReportSubscriber(_Socket):
    """The SUB end of receiver reports; only the newest is kept."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(zmq.SUB, endpoint, bind=False, limits=SocketLimits(linger_s=0.0))
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_REPORT_BYTES + 1)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
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
