"""Requests that go around the operations of azure-batch: the service sees no difference."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest
from azure.batch import models

from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.client.transport.session import ServiceClient, open_sdk_client

ODD = "a b/%2F?#é:@=&+"
"""An id with characters that a URL quotes; the service would refuse it."""

OF_EACH_REQUEST = ("client-request-id", "ocp-date", "authorization")
"""Headers that differ between two requests of the same content."""

KEY = "c2VjcmV0LWtleQ=="


class Recorder(HTTPServer):
    """A service that records each request and answers it with a success."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.seen: list[dict[str, Any]] = []


class _Answer(BaseHTTPRequestHandler):
    server: Recorder

    def log_message(self, *_of_request: object) -> None:
        """Keep the requests out of the tests' output."""

    def _answer(self, status: int) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        kept = {name: value for name, value in headers.items() if name not in OF_EACH_REQUEST}
        assert headers.keys() - kept.keys() == set(OF_EACH_REQUEST)
        self.server.seen.append(
            {"method": self.command, "path": self.path, "headers": kept, "body": body.decode()}
        )
        self.send_response(status)
        self.send_header("request-id", "3f2a")
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self._answer(201)

    def do_PUT(self) -> None:
        self._answer(200)

    def do_DELETE(self) -> None:
        self._answer(200)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_request_of_our_own_is_the_one_that_the_operation_sends(recorder: Recorder) -> None:
    user = {"name": ODD, "isAdmin": True, "expiryTime": "2026-11-29T10:00:00Z", "sshPublicKey": "ssh-rsa é"}
    users = ("pools", ODD, "nodes", ODD, "users")

    async def both_ways(client: ServiceClient) -> None:
        await client.create_node_user(ODD, ODD, models.BatchNodeUserCreateOptions(user))
        await client.send("POST", users, user)
        await client.replace_node_user(ODD, ODD, ODD, models.BatchNodeUserReplaceOptions(user))
        await client.send("PUT", (*users, ODD), user)
        await client.delete_node_user(ODD, ODD, ODD)
        await client.send("DELETE", (*users, ODD))

    _with_client(recorder, both_ways)

    created, create, replaced, replace, deleted, delete = recorder.seen
    assert create == created
    assert replace == replaced
    assert delete == deleted
    assert quote(ODD, safe="") in delete["path"]


def _with_client(recorder: Recorder, work: Callable[[ServiceClient], Awaitable[None]]) -> None:
    at = f"http://127.0.0.1:{recorder.server_address[1]}"

    async def whole() -> None:
        async with open_sdk_client(
            AccountSettings(at, "name", AuthKind.SHARED_KEY, account_key=KEY)
        ) as client:
            await work(client)

    asyncio.run(whole())
