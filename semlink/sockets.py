"""Sockets of ZeroMQ over tcp and ipc, with explicit limits; `semlink.transport` and `semlink.feedback` build on them.

Limits: how many messages may wait (high-water mark), how long one may be, how long a send may block, and how long a
closing socket may take to hand over what waits (linger).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import TracebackType

import zmq
from typing_extensions import Self

from semlink.errors import ConfigError, TransportError

__all__ = ["Socket", "SocketLimits", "zmq_version"]

_TCP_ENDPOINT = re.compile(r"tcp://(?P<host>\*|\[[^\]]+\]|[^:\[\]*]+):(?P<port>\*|\d{1,5})")
_MAX_PORT = 65535


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


class Socket:
    """A socket in a context of its own, bound or connected, closed once.

    Parameters
    ----------
    kind : type of socket, such as zmq.PUSH
    limits : the defaults of `SocketLimits` if None
    max_message_bytes : libzmq drops the connection of a peer that sends a longer message

    Raises
    ------
    ConfigError, TransportError
        If the endpoint is malformed, taken, or not this machine's.
    """

    def __init__(
        self, kind: int, endpoint: str, *, bind: bool, limits: SocketLimits | None, max_message_bytes: int
    ) -> None:
        _check_endpoint(endpoint, bind=bind)
        limits = limits or SocketLimits()
        self.limits = limits
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(kind)
        self._socket.setsockopt(zmq.LINGER, int(limits.linger_s * 1000))
        self._socket.setsockopt(zmq.SNDHWM, limits.high_water_mark)
        self._socket.setsockopt(zmq.RCVHWM, limits.high_water_mark)
        self._socket.setsockopt(zmq.MAXMSGSIZE, max_message_bytes)
        # A sender has no queue without a peer. With this option a subscriber would subscribe only in its next call.
        self._socket.setsockopt(zmq.IMMEDIATE, kind == zmq.PUSH)
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
