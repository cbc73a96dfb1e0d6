"""Runs commands in a network namespace whose only name server records what it is asked.

Inside `unshare --map-root-user --mount --net` this file is the main program: it brings up the loopback interface,
binds a UDP socket to the name server's port there, makes it the resolver's only name server by a bind mount over
/etc/resolv.conf, runs the commands one after another, and prints the queries of each as JSON. It answers nothing, so
that a query is repeated, never lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["can_isolate", "queried_names"]

_UNSHARE = ("unshare", "--map-root-user", "--mount", "--net")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_DNS_PORT, _DNS_HEADER_BYTES = 53, 12


def can_isolate() -> bool:
    """Whether this user may make namespaces here."""
    try:
        return subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def queried_names(*commands: Sequence[str], environment: Mapping[str, str]) -> list[list[str]]:
    """Names that each command asked a name server for, in a network namespace of its own without a network."""
    done = subprocess.run(
        [*_UNSHARE, sys.executable, __file__, json.dumps(commands)],
        env={**environment, "RES_OPTIONS": "timeout:1 attempts:2"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    names: list[list[str]] = json.loads(done.stdout)
    return names


def _main(commands: list[list[str]]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, tempfile.TemporaryDirectory() as folder:
        _bring_up("lo", server)
        server.bind(("127.0.0.1", _DNS_PORT))
        resolver = Path(folder, "resolv.conf")
        resolver.write_text("nameserver 127.0.0.1\n", encoding="utf-8")
        subprocess.run(["mount", "--bind", resolver, "/etc/resolv.conf"], check=True)
        queries: list[str] = []
        threading.Thread(target=_record, args=(server, queries), daemon=True).start()
        names = []
        for command in commands:
            queries.clear()
            subprocess.run(command, stdout=sys.stderr, check=False)
            names.append(list(dict.fromkeys(queries)))
        subprocess.run(["umount", "/etc/resolv.conf"], check=True)
    print(json.dumps(names), flush=True)
    os._exit(0)  # the thread still waits for a query


def _bring_up(interface: str, any_socket: socket.socket) -> None:
    request = struct.pack("16sH14x", interface.encode(), 0)
    (flags,) = struct.unpack_from("H", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request), 16)
    fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", interface.encode(), flags | _IFF_UP))


def _record(server: socket.socket, queries: list[str]) -> None:
    while True:
        message = server.recv(512)
        labels, position = [], _DNS_HEADER_BYTES
        while length := message[position]:
            labels.append(message[position + 1 : position + 1 + length].decode(errors="replace"))
            position += 1 + length
        queries.append(".".join(labels))


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
