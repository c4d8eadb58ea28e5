"""A cheap load: one request, signed in advance, repeated over several open connections."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

__all__ = ["measured_apart"]

CONNECTIONS = 8
ROUND = 0.5
"""Seconds of load for one sample."""
_ENOUGH = 1 << 16


def measured_apart(port: int, request: bytes) -> float:
    """Return how many requests a second a server on loopback answers to a separate process."""
    command = [sys.executable, "-m", "tests.bench.load", str(port)]
    return float(subprocess.run(command, input=request, stdout=subprocess.PIPE, check=True).stdout)


def requests_per_second(port: int, request: bytes) -> float:
    """Keep a server busy, and return how many requests it answers a second."""
    with ExitStack() as stack:
        address = ("127.0.0.1", port)
        sockets = [stack.enter_context(socket.create_connection(address)) for _ in range(CONNECTIONS)]
        for connection in sockets:
            connection.sendall(request)
        answered, started = 0, time.perf_counter()
        while (seconds := time.perf_counter() - started) < ROUND:
            answered += _round(sockets, request)
    return answered / seconds


def _round(sockets: Sequence[socket.socket], request: bytes) -> int:
    """Read one answer from each connection and send the next request, so that the server never waits."""
    for connection in sockets:
        answer = _one_answer(connection)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        connection.sendall(request)
    return len(sockets)


def _one_answer(connection: socket.socket) -> bytes:
    answer = connection.recv(_ENOUGH)
    while not _is_whole(answer):
        answer += connection.recv(_ENOUGH)
    return answer


def _is_whole(answer: bytes) -> bool:
    head, gap, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return bool(gap) and len(body) >= int(length)


if __name__ == "__main__":
    print(requests_per_second(int(sys.argv[1]), sys.stdin.buffer.read()))
