"""Addresses that can be bound and connected to, and words for those that cannot."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import zmq

from semlink.errors import ConfigError, TransportError
from semlink.transport import FrameReceiver, FrameSender, zmq_version
from tests.support.sockets import receive_all


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
