"""Requests of others than the owner: web pages, and other users of the machine."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_batchlinux.emulator import EmulatorControl, RunningEmulator
from airflow_provider_batchlinux.emulator.blobs.server import _OPERATIONS as BLOB_OPERATIONS
from airflow_provider_batchlinux.emulator.http.control import ACTIONS
from airflow_provider_batchlinux.emulator.http.routes import OPERATIONS, RETIRED
from airflow_provider_batchlinux.emulator.identity.peers import is_own_process, user_of
from airflow_provider_batchlinux.emulator.management.resources import _ROUTES as MANAGEMENT_ROUTES
from tests.tables import each_of

NOBODY = 65534
BATCH = "https://batch.core.windows.net/"
BAD_HOSTS = [
    "evil.example",
    "evil.example:80",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "",
    "[::2]",
]
GOOD_HOSTS = ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:8443", "[::1]:443"]


def control(emulator: RunningEmulator) -> tuple[str, Mapping[str, str], str, str]:
    headers = {"authorization": f"Bearer {emulator.control_token}", "content-type": "application/json"}
    return f"{emulator.endpoint}/_emulator/now", headers, "POST", "{}"


def identity(emulator: RunningEmulator) -> Any:
    assert emulator.identity is not None
    return emulator.identity


def management(emulator: RunningEmulator) -> str:
    assert emulator.management is not None
    return emulator.management.url


# What each server of the emulator answers to anybody, or to its owner.
LISTENERS: dict[str, Callable[[RunningEmulator], tuple[str, Mapping[str, str], str, str]]] = {
    "data plane": lambda e: (f"{e.endpoint}/pools?api-version=2025-06-01", {}, "GET", ""),
    "control plane": control,
    "status page": lambda e: (f"{e.endpoint}/_emulator/status", control(e)[1], "GET", ""),
    "price list": lambda e: (f"{e.endpoint}/_emulator/prices", {}, "GET", ""),
    "blob store": lambda e: (f"{e.storage.endpoint}/container/blob", {}, "GET", ""),
    "blob store over HTTPS": lambda e: (f"{e.storage.secure_endpoint}/container/blob", {}, "GET", ""),
    "entra": lambda e: (f"{identity(e).authority}/none/discovery/v2.0/keys", {}, "GET", ""),
    "app service": lambda e: (
        f"{identity(e).identity_endpoint}?resource={BATCH}",
        {"X-IDENTITY-HEADER": identity(e).identity_header},
        "GET",
        "",
    ),
    "metadata service": lambda e: (
        f"{identity(e).metadata_host}/metadata/identity/oauth2/token?resource={BATCH}",
        {"Metadata": "true"},
        "GET",
        "",
    ),
    "management plane": lambda e: (f"{management(e)}/subscriptions", {}, "GET", ""),
}


@pytest.fixture(params=LISTENERS)
def ask(request: pytest.FixtureRequest, secure_emulator: RunningEmulator) -> Any:
    """Give a function that sends what one of the servers answers, with other headers besides."""
    url, given, method, body = LISTENERS[request.param](secure_emulator)
    parts = urlsplit(url)

    def send(host: str | None = None, **more: str) -> tuple[int, bytes]:
        with closing(_connection(secure_emulator, url)) as connection:
            connection.putrequest(method, f"{parts.path}?{parts.query}", skip_host=True)
            for name, value in {"host": parts.netloc if host is None else host, **given, **more}.items():
                connection.putheader(name, value)
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body.encode())
            response = connection.getresponse()
            return response.status, response.read()

    return send


def _connection(emulator: RunningEmulator, url: str) -> HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme == "http":
        return HTTPConnection(parts.netloc, timeout=10)
    context = ssl.create_default_context(cafile=emulator.ca)
    return HTTPSConnection(parts.netloc, timeout=10, context=context)


def test_a_page_whose_name_was_rebound_is_refused(ask: Any) -> None:
    @each_of(BAD_HOSTS)
    def is_refused(host: str) -> None:
        status, answer = ask(host)

        assert (status, "Host header" in json.loads(answer)["error"]) == (403, True)

    is_refused()


def test_a_page_of_another_origin_is_refused(ask: Any) -> None:
    @each_of(["https://evil.example", "null", "http://localhost:3000", "file://"])
    def is_refused(origin: str) -> None:
        status, answer = ask(origin=origin)

        assert (status, "Origin header" in json.loads(answer)["error"]) == (403, True)

    is_refused()


def test_a_program_may_use_any_name_of_loopback(ask: Any) -> None:
    usual, _ = ask()

    @each_of(GOOD_HOSTS)
    def is_answered(host: str) -> None:
        status, answer = ask(host)

        assert (status, b"Host header" in answer) == (usual, False)

    is_answered()


def routes(emulator: RunningEmulator) -> Iterator[tuple[str, str]]:
    """Return the method and URL of every route of every server."""
    for operation in (*OPERATIONS, *RETIRED):
        path = re.sub(r"\{\w+\}", "x", operation.path)
        yield operation.method, f"{emulator.endpoint}{path}?api-version=2025-06-01"
    for method, name in (*(("POST", name) for name in ACTIONS), ("GET", "status"), ("GET", "prices")):
        yield method, f"{emulator.endpoint}/_emulator/{name}"
    levels = {
        "account": "?restype=account&",
        "service": "?",
        "container": "/box?restype=container&",
        "blob": "/box/b?",
    }
    for method, level, operation_of_blobs in BLOB_OPERATIONS:
        for place in (emulator.storage.endpoint, str(emulator.storage.secure_endpoint)):
            yield method, f"{place}{levels[level]}comp={operation_of_blobs}"
    for method, pattern, _ in MANAGEMENT_ROUTES:
        path = re.sub(r"\(\?P<\w+>[^)]*\)", "x", pattern.pattern).replace("\\", "")
        yield method, f"{management(emulator)}{path}?api-version=2024-07-01"
    yield "GET", f"{management(emulator)}/metadata/endpoints"
    for method, path in (("GET", "v2.0/.well-known/openid-configuration"), ("GET", "discovery/v2.0/keys")):
        yield method, f"{identity(emulator).authority}/{identity(emulator).tenant_id}/{path}"
    yield "POST", f"{identity(emulator).authority}/{identity(emulator).tenant_id}/oauth2/v2.0/token"
    yield "GET", f"{identity(emulator).identity_endpoint}?resource={BATCH}"
    yield "GET", f"{identity(emulator).metadata_host}/metadata/identity/oauth2/token?resource={BATCH}"


OPEN = {
    "/_emulator/prices": 200,
    "/metadata/endpoints": 200,
    "/openid-configuration": 200,
    "/keys": 200,
    "/oauth2/v2.0/token": 400,
    f"/metadata/identity/oauth2/token?resource={BATCH}": 400,
}
"""What is answered without a secret: public facts, and that a credential or a header is missing."""


def test_every_route_asks_for_its_secret_and_refuses_pages(secure_emulator: RunningEmulator) -> None:
    pages = [({"host": "evil.example"}, "Host header"), ({"origin": "null"}, "Origin header")]
    connections: dict[str, HTTPConnection] = {}
    for number, (method, url) in enumerate(routes(secure_emulator)):
        parts = urlsplit(url)
        connection = connections.setdefault(parts.netloc, _connection(secure_emulator, url))
        for headers, reason in ({}, ""), pages[number % 2]:
            connection.request(method, f"{parts.path}?{parts.query}", headers=headers)
            response = connection.getresponse()
            answer = response.read().decode()
            is_open = [status for end, status in OPEN.items() if url.endswith(end) and not reason]
            assert response.status in (is_open or [401, 403]), (method, url, answer)
            assert reason in answer or method == "HEAD", (method, url, answer)
    for connection in connections.values():
        connection.close()
    assert len(connections) == 6


def test_no_answer_lets_a_page_read_it(secure_emulator: RunningEmulator) -> None:
    url = LISTENERS["control plane"](secure_emulator)[0]
    with closing(_connection(secure_emulator, url)) as connection:
        connection.request("OPTIONS", urlsplit(url).path, headers={"origin": "https://evil.example"})
        response = connection.getresponse()
        response.read()

    assert response.status == 403
    assert [name for name, _ in response.getheaders() if name.lower().startswith("access-control")] == []


@pytest.mark.parametrize("action", [*ACTIONS, "nothing"])
@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer wr0ng", "Basic {token}", "\xff"])
def test_the_control_plane_asks_for_its_token(
    batch_emulator: RunningEmulator, action: str, authorization: str | None
) -> None:
    headers = {"content-type": "application/json"}
    if authorization is not None:
        headers["authorization"] = authorization.replace("{token}", batch_emulator.control_token)
    with closing(_connection(batch_emulator, batch_emulator.endpoint)) as connection:
        connection.request("POST", f"/_emulator/{action}", "{}", headers)
        response = connection.getresponse()
        answer = response.read().decode()

    assert (response.status, response.getheader("www-authenticate")) == (401, "Bearer")
    assert batch_emulator.control_token not in answer


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_the_control_plane_takes_no_form_of_a_page(batch_emulator: RunningEmulator, kind: str) -> None:
    url, headers, method, body = control(batch_emulator)
    with closing(_connection(batch_emulator, url)) as connection:
        connection.request(method, urlsplit(url).path, body, {**headers, "content-type": kind})

        assert connection.getresponse().status == 415


def test_a_client_with_another_token_hears_why(batch_emulator: RunningEmulator) -> None:
    stranger = EmulatorControl(batch_emulator.endpoint, "wr0ng")

    with pytest.raises(ValueError, match="control_token of the ready line"):
        stranger.reset()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("listener", ["app service", "metadata service"])
def test_another_user_gets_no_token(secure_emulator: RunningEmulator, listener: str) -> None:
    url, headers, _, _ = LISTENERS[listener](secure_emulator)
    own, other = (_ask_as(user, url, headers) for user in (None, NOBODY))

    assert (own[0], other[0]) == (200, 403)
    assert "does not belong to the user who runs the emulator" in other[1]
    assert "access_token" not in other[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_gets_no_sas_and_overwrites_nothing(batch_emulator: RunningEmulator) -> None:
    container = batch_emulator.container("scripts")
    container.put("run.sh", b"own")
    url, headers, _, _ = control(batch_emulator)
    asked = {name: value for name, value in headers.items() if name != "authorization"}
    body = json.dumps({"name": "scripts", "permissions": "rw", "expires_in": 60})
    plain = f"{container.url.partition('?')[0]}/run.sh"

    door = _ask_as(NOBODY, url.replace("now", "container"), asked, "POST", body)
    put = _ask_as(NOBODY, plain, {"x-ms-blob-type": "BlockBlob"}, "PUT", "other")
    read = _ask_as(NOBODY, plain, {})

    assert [answer[0] for answer in (door, put, read)] == [401, 403, 403]
    assert not any("sig=" in answer[1] for answer in (door, put, read))
    assert container.get("run.sh") == b"own"


def _ask_as(
    user: int | None, url: str, headers: Mapping[str, str], method: str = "GET", body: str = ""
) -> tuple[int, str]:
    """Send a request as a process of another user; the shell is a program that everybody may run."""
    parts = urlsplit(url)
    lines = [f"{method} {parts.path}?{parts.query} HTTP/1.0", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}"] if body else []
    script = f'exec 3<>/dev/tcp/{parts.hostname}/{parts.port}; printf %s "$REQUEST" >&3; cat <&3'
    environment = {"REQUEST": "\r\n".join([*lines, "", body]), "PATH": os.environ["PATH"]}
    ran = subprocess.run(
        ["/bin/bash", "-c", script], user=user, env=environment, cwd="/", capture_output=True, check=True
    )
    answer = ran.stdout.decode()
    return int(answer.split()[1]), answer


@pytest.fixture
def ends() -> Any:
    """Give both ends of a connection over loopback, as addresses of the client and the server."""
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname()) as client, server.accept()[0]:
        yield client.getsockname(), server.getsockname()


def test_the_owner_of_a_connection_is_known(ends: Any) -> None:
    peer, own = ends

    assert is_own_process(peer, own) is True
    assert user_of(peer, own) == os.geteuid()
    assert is_own_process(peer, ("127.0.0.1", own[1] ^ 1)) is False


ROW = " 0: {client} {server} {state} 0:0 00:0 0 {user:5} 0 {inode} 1 0 20 4 30 10 -1"
V4, V6 = "0100007F:{port:04X}", "0000000000000000FFFF00000100007F:{port:04X}"


@pytest.mark.parametrize("form", [V4, V6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("changes", "found"),
    [
        pytest.param({}, NOBODY, id="another user"),
        pytest.param({"user": 1000}, 1000, id="a user"),
        pytest.param({"state": "06", "user": 0, "inode": 0}, None, id="a connection that has ended"),
        pytest.param({"state": "04", "user": 0, "inode": 0}, None, id="a socket that was closed"),
        pytest.param({"inode": 0, "user": 0}, None, id="a socket of no process"),
        pytest.param({"client": 5}, None, id="another client"),
        pytest.param({"server": 5}, None, id="another server"),
    ],
)
@pytest.mark.skipif("sys.byteorder != 'little'", reason="the rows are those of a little machine")
def test_a_row_of_the_kernel_tells_the_user(
    tmp_path: Path, form: str, changes: dict[str, Any], found: int | None
) -> None:
    row: dict[str, Any] = {"client": 4660, "server": 80, "state": "01", "user": NOBODY, "inode": 7, **changes}
    places = {name: form.format(port=row[name]) for name in ("client", "server")}
    table = tmp_path / "tcp"
    table.write_text(f"  sl  local_address ...\n{ROW.format(**{**row, **places})}\n")

    assert user_of(("127.0.0.1", 4660), ("127.0.0.1", 80), [table, tmp_path / "missing"]) == found
