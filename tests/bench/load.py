"""A load that costs little: requests signed beforehand, over several connections that are kept open."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from email.utils import formatdate
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_batchlinux.emulator.auth import sign, string_to_sign
from tests.embedded_service import Service

__all__ = ["Wire", "measured_apart"]

CONNECTIONS = 8
ROUND = 0.5
"""Seconds of load for one sample."""
_ENOUGH = 1 << 16


class Wire:
    """A client of one embedded service, which signs what it sends and does nothing else."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._connection = HTTPConnection(urlsplit(service.endpoint).netloc)

    def signed(self, method: str, target: str, length: int = 0) -> dict[str, str]:
        """Give the headers of a request that is good for fifteen minutes."""
        headers = {"ocp-date": formatdate(usegmt=True)}
        if length:
            headers["content-length"] = str(length)
        text = string_to_sign(self._service.account, method, target, headers)
        signature = sign(self._service.key, text)
        return {**headers, "authorization": f"SharedKey {self._service.account}:{signature}"}

    def send(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> bytes:
        """Send a request and give the answer's body."""
        content = json.dumps(body).encode() if body else b""
        headers = self.signed(method, target, len(content))
        self._connection.request(method, target, content or None, headers)
        response = self._connection.getresponse()
        answer = response.read()
        assert response.status < 300, answer
        return answer

    def get(self, target: str) -> dict[str, Any]:
        """Give the JSON that a path and query lead to."""
        found: dict[str, Any] = json.loads(self.send("GET", target))
        return found

    def raw_get(self, target: str) -> bytes:
        """Give a whole request as it goes over a socket."""
        lines = [f"{name}: {value}" for name, value in self.signed("GET", target).items()]
        return "\r\n".join([f"GET {target} HTTP/1.1", "host: 127.0.0.1", *lines, "", ""]).encode()


def measured_apart(port: int, request: bytes) -> float:
    """Measure how many requests a second a server on loopback answers, from another process than this."""
    command = [sys.executable, "-m", "tests.bench.load", str(port)]
    return float(subprocess.run(command, input=request, stdout=subprocess.PIPE, check=True).stdout)


def requests_per_second(port: int, request: bytes) -> float:
    """Keep a server busy, and count."""
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
    """Take one answer from each connection, and ask again at once: the server never waits for us."""
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
