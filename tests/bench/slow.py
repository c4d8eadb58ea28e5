"""
A server that only waits before it answers; it runs until its standard input ends.

An event loop would be in every answer: with 16 calls in flight, its timers, which epoll rounds up to a
millisecond, and its own work make an answer after 20 ms one after 24. Here, each connection has a thread that
sleeps.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer

from tests.bench.bare import running_server

__all__ = ["slow_server"]


@contextmanager
def slow_server(body: bytes, delay: float) -> Iterator[int]:
    """
    Answer every GET with the same body, and all else with none, from another process; give the port.

    :param delay: seconds until each answer.
    """
    with running_server("tests.bench.slow", body.decode(), str(delay)) as port:
        yield port


class _Server(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, body: bytes, delay: float) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        # Without a request id, the client takes it for the answer of a proxy.
        self.found = _answer("200 OK", body)
        self.created = _answer("201 Created", b"")
        self.delay = delay


class _Connection(StreamRequestHandler):
    server: _Server
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while line := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline().lower()) not in (b"\r\n", b""):
                if header.startswith(b"content-length:"):
                    length = int(header.partition(b":")[2])
            self.rfile.read(length)
            time.sleep(self.server.delay)
            self.wfile.write(self.server.found if line.startswith(b"GET ") else self.server.created)


def _answer(status: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nrequest-id: 3f2a\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    with _Server(sys.argv[1].encode(), float(sys.argv[2])) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)
        sys.stdin.read()
        server.shutdown()
