"""A client of an embedded service, which signs what it sends and does nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import formatdate
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_batchlinux.emulator.protocol.auth import sign, string_to_sign

if TYPE_CHECKING:
    from airflow_provider_batchlinux.emulator import RunningEmulator
    from tests.embedded_service import Service

__all__ = ["Wire", "signed"]


def signed(account: str, key: str, method: str, target: str, headers: Mapping[str, str]) -> dict[str, str]:
    """
    Give the headers that let a request in, good for fifteen minutes.

    :param target: path and query as they are sent.
    :param headers: those that the request has already, by lower-cased name.
    """
    date = {"ocp-date": formatdate(usegmt=True)}
    signature = sign(key, string_to_sign(account, method, target, {**headers, **date}))
    return {**date, "authorization": f"SharedKey {account}:{signature}"}


class Wire:
    """A connection to one embedded service that is kept open."""

    def __init__(self, service: Service | RunningEmulator) -> None:
        self._service = service
        self._connection = HTTPConnection(urlsplit(service.endpoint).netloc)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def send(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> bytes:
        """Send a request and give the answer's body; it is to succeed."""
        status, answer = self.ask(method, target, json.dumps(body).encode() if body else b"")
        assert status < 300, answer
        return answer

    def ask(self, method: str, target: str, content: bytes) -> tuple[int, bytes]:
        """Send a request and give the answer's status and body."""
        length = {"content-length": str(len(content))} if content else {}
        self._connection.request(
            method, target, content or None, {**length, **self._signed(method, target, length)}
        )
        response = self._connection.getresponse()
        return response.status, response.read()

    def get(self, target: str) -> dict[str, Any]:
        """Give the JSON that a path and query lead to."""
        found: dict[str, Any] = json.loads(self.send("GET", target))
        return found

    def raw_get(self, target: str) -> bytes:
        """Return a whole request as it is sent."""
        lines = [f"{name}: {value}" for name, value in self._signed("GET", target, {}).items()]
        return "\r\n".join([f"GET {target} HTTP/1.1", "host: 127.0.0.1", *lines, "", ""]).encode()

    def _signed(self, method: str, target: str, headers: Mapping[str, str]) -> dict[str, str]:
        return signed(self._service.account, self._service.key, method, target, headers)
