"""URLs for nodes, with SAS tokens that allow no more than is needed, by each kind of credentials."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar
from urllib.parse import parse_qs

import aiohttp
import pytest

from airflow_provider_batchlinux.client.storage.access import StorageAccess, StorageSettings
from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.core.storage.grants import Grant
from airflow_provider_batchlinux.core.storage.locations import parse_location
from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    BatchUnreachableError,
)
from airflow_provider_batchlinux.hooks._storage_connection import storage_access

T = TypeVar("T")

DAY = timedelta(days=1)
URL = "https://fabrikam.blob.core.windows.net"
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
KEYED = StorageSettings("files", AccountSettings(URL, "fabrikam", AuthKind.SHARED_KEY, account_key="a2V5"))
SIGNED = StorageSettings(
    "files", AccountSettings(URL, "fabrikam", AuthKind.SHARED_KEY), "se=2026-06-01&sig=own"
)
READ = Grant(parse_location("abfs://raw/a.csv"), "read", "files")
LIST = Grant(parse_location("abfs://raw/2026/"), "list", "files")
WRITE = Grant(parse_location("abfs://raw/out/"), "write", "files")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def access_by(settings: StorageSettings) -> StorageAccess:
    async def read(conn_id: str) -> StorageSettings:
        assert conn_id == settings.conn_id
        return settings

    return StorageAccess(read, lambda: NOW)


def test_a_key_signs_for_one_blob_or_one_container_until_then() -> None:
    urls = run(access_by(KEYED).urls([READ, LIST, WRITE, READ], DAY))

    queries = {grant: parse_qs(url.partition("?")[2]) for grant, url in urls.items()}
    said = {grant: {name: value[0] for name, value in query.items()} for grant, query in queries.items()}
    assert [url.partition("?")[0] for url in urls.values()] == [
        f"{URL}/raw/a.csv",
        f"{URL}/raw",
        f"{URL}/raw",
    ]
    assert [(said[grant]["sr"], said[grant]["sp"]) for grant in (READ, LIST, WRITE)] == [
        ("b", "r"),
        ("c", "rl"),
        ("c", "cw"),
    ]
    assert {(item["se"], item["spr"]) for item in said.values()} == {("2026-01-02T00:00:00Z", "https")}


def test_an_identity_of_the_pool_or_a_sas_in_the_url_needs_no_connection() -> None:
    def grant(url: str, identity: str | None) -> Grant:
        return Grant(parse_location(url), "read", "another", identity)

    grants = [
        grant(f"{URL}/raw/a", "/id"),
        grant(f"{URL}/raw/b?sig=own", None),
        grant("https://x.org/c", None),
    ]

    assert list(run(access_by(KEYED).urls(grants, DAY)).values()) == [
        f"{URL}/raw/a",
        f"{URL}/raw/b?sig=own",
        "https://x.org/c",
    ]


def test_a_sas_of_the_connection_is_used_as_it_is_while_it_is_valid(caplog: pytest.LogCaptureFixture) -> None:
    assert run(access_by(SIGNED).urls([READ], DAY)) == {READ: f"{URL}/raw/a.csv?se=2026-06-01&sig=own"}
    assert caplog.text == ""

    run(access_by(SIGNED).urls([READ], 365 * DAY))
    assert "The SAS of connection 'files' expires at 2026-06-01" in caplog.text

    expired = StorageSettings("files", SIGNED.account, "se=2025-06-01&sig=own")
    with pytest.raises(ValueError, match="The SAS of connection 'files' expired at 2025-06-01"):
        run(access_by(expired).urls([READ], DAY))


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.storage.blob", None)

    with pytest.raises(ValueError, match=r"pip install 'airflow-provider-batchlinux\[storage\]'"):
        run(access_by(KEYED).urls([READ], DAY))


def connect(monkeypatch: pytest.MonkeyPatch, emulator: RunningEmulator, **changes: Any) -> None:
    """Define a connection of type wasb with an application of Entra."""
    facts = emulator.identity
    assert facts is not None
    fields = {
        "host": emulator.storage.secure_endpoint,
        "login": facts.client_id,
        "password": facts.client_secret,
        **changes,
    }
    trust = {"authority": facts.authority, "connection_verify": str(emulator.ca)}
    extra = {"tenant_id": facts.tenant_id, "client_secret_auth_config": trust}
    value = {"conn_type": "wasb", "extra": extra, **fields}
    monkeypatch.setenv("AIRFLOW_CONN_FILES", json.dumps(value))


async def status_of(emulator: RunningEmulator, method: str, url: str, content: bytes = b"") -> int:
    import ssl

    context = ssl.create_default_context(cafile=str(emulator.ca))
    headers = {"x-ms-blob-type": "BlockBlob"}
    async with aiohttp.ClientSession() as session:
        request = session.request(method, url, data=content or None, headers=headers, ssl=context)
        async with request as response:
            return response.status


def test_an_identity_of_entra_signs_by_a_user_delegation_key(
    secure_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    secure_emulator.control.container("raw").put("a.csv", b"hello")
    connect(monkeypatch, secure_emulator)

    async def work() -> None:
        urls = await storage_access().urls([READ, LIST, WRITE], DAY)
        assert all("skoid=" in url for url in urls.values()), "Signed by an identity"
        assert await status_of(secure_emulator, "GET", urls[READ]) == 200
        assert await status_of(secure_emulator, "PUT", urls[READ], b"x") == 403
        assert await status_of(secure_emulator, "GET", f"{urls[LIST]}&restype=container&comp=list") == 200
        container, _, token = urls[WRITE].partition("?")
        assert await status_of(secure_emulator, "PUT", f"{container}/made?{token}", b"x") == 201
        assert await status_of(secure_emulator, "GET", f"{container}/made?{token}") == 403

    run(work())


def test_what_entra_or_storage_refuses_is_said_in_words(
    secure_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = secure_emulator.identity
    assert facts is not None
    blob = parse_location("abfs://private/x")
    secure_emulator.control.container("private")

    connect(monkeypatch, secure_emulator)
    with pytest.raises(
        ValueError, match=r"together ask for a SAS of 8\.0 days, but Azure gives the identity"
    ):
        run(storage_access().urls([READ], 8 * DAY))

    connect(monkeypatch, secure_emulator, login=facts.reader_client_id, password=facts.reader_client_secret)
    with pytest.raises(BatchAuthenticationError, match="role Storage Blob Data Contributor") as refused:
        run(storage_access().put(blob, "files", b"x"))
    assert refused.value.code == "AuthorizationPermissionMismatch"

    connect(monkeypatch, secure_emulator, password="wr0ng-s3cret")
    with pytest.raises(BatchLinuxError, match="by connection 'files'") as unknown:
        run(replace(storage_access(), retries=0).put(blob, "files", b"x"))
    assert "wr0ng-s3cret" not in str(unknown.value)

    host = secure_emulator.storage.secure_endpoint.replace("127.0.0.1", "127.0.0.2")
    connect(monkeypatch, secure_emulator, host=host)
    with pytest.raises(BatchUnreachableError, match="no answer from storage"):
        run(replace(storage_access(), retries=0).put(blob, "files", b"x"))
