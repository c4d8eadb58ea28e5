"""What each request carries."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from azure.batch._patch import BatchSharedKeyAuthPolicy
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline import PipelineContext, PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.client.transport.policies import SharedKeyPolicy
from tests.unit.client.sessions import run

KEY = base64.b64encode(b"not a secret").decode()
DATE = "Sat, 28 Nov 2026 12:00:00 GMT"
HEADERS = ["Content-Type", "Content-Length", "If-Match", "If-Modified-Since", "ocp-range", "Accept", "range"]
QUERIES = [
    "api-version=2025-06-01",
    "timeOut=30",
    "%24filter=state%20eq%20%27idle%27",
    "%24select=id%2Cstate",
]

words = st.text("abc-/ %", max_size=6)


class _Network(AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    async def send(
        self, request: PipelineRequest[HttpRequest]
    ) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        raise ConnectionResetError(request)


class Portal(HTTPServer):
    """A server that answers everything with the same text and a cookie, and keeps the headers it was sent."""

    def __init__(self, answer: str) -> None:
        self.received: list[Mapping[str, str]] = []
        portal = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                portal.received.append(dict(self.headers))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("request-id", "3f2a")
                self.send_header("Content-Length", str(len(answer)))
                self.send_header("Set-Cookie", "seen=1")
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *arguments: object) -> None:
                """Write nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def settings(self) -> AccountSettings:
        url = f"http://127.0.0.1:{self.server_port}"
        return AccountSettings(url, "etl", AuthKind.SHARED_KEY, account_key=KEY, retry_budget=0.0)


@contextmanager
def portal(answer: str) -> Iterator[Portal]:
    with Portal(answer) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def signature_by(policy: AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse], request: HttpRequest) -> str:
    policy.next = _Network()
    with pytest.raises(ConnectionResetError):
        asyncio.run(policy.send(PipelineRequest(request, PipelineContext(None))))
    return request.headers["Authorization"]


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
    path=words.map(lambda text: text.replace(" ", "%20").replace("%", "%25")),
    query=st.lists(st.sampled_from(QUERIES), unique=True),
    headers=st.dictionaries(st.sampled_from(HEADERS), words),
)
def test_a_request_is_signed_as_the_sdk_signs_it(method, path, query, headers):
    url = f"https://etl.example.org/{path}?{'&'.join(query)}"
    ours, theirs = (HttpRequest(method, url, headers={**headers, "ocp-date": DATE}) for _ in range(2))
    BatchSharedKeyAuthPolicy(AzureNamedKeyCredential("etl", KEY)).on_request(
        PipelineRequest(theirs, PipelineContext(None))
    )

    assert signature_by(SharedKeyPolicy("etl", KEY), ours) == theirs.headers["Authorization"]


def test_requests_name_the_sdk_and_themselves_and_keep_no_cookies():
    with portal('{"odata.metadata": "x", "id": "etl"}') as server:

        async def twice(client: BatchLinuxClient) -> None:
            await client.find_pool("etl")
            await client.find_pool("etl")

        run(server.settings, twice)
        first, second = server.received

    assert first["User-Agent"].startswith("azsdk-python-batch/")
    assert first["client-request-id"] != second["client-request-id"]
    assert "Cookie" not in second
