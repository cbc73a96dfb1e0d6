"""An HTTP server on a random port that has one file, for tests of downloads."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `content` under every path.

    Attributes
    ----------
    content : bytes of the file
    break_after : number of bytes after which the next answer breaks off; None for whole answers
    num_requests : requests answered
    """

    content = b""
    break_after: int | None = None
    num_requests = 0

    def url(self, name: str) -> str:
        """Address of a file."""
        return f"http://127.0.0.1:{self.server_port}/{name}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        self.server.num_requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        end, self.server.break_after = self.server.break_after, None
        self.wfile.write(self.server.content[:end])

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def running_file_server() -> Iterator[FileServer]:
    """A server that answers while the context lasts."""
    with FileServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
