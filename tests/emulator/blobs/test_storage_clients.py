"""What azure-storage-blob does with the blob store: by key, account SAS, user delegation SAS and Entra."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential
from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential
from azure.storage.blob import (
    BlobServiceClient,
    UserDelegationKey,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)
from azure.storage.blob.aio import BlobServiceClient as AsyncBlobServiceClient

from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.emulator.blobs.delegation import DelegationKey
from airflow_provider_batchlinux.emulator.blobs.errors import BlobError
from airflow_provider_batchlinux.emulator.blobs.sas import (
    Circumstances,
    Target,
    check_delegated_sas,
    string_to_sign,
)
from airflow_provider_batchlinux.emulator.blobs.server import serving_blobs
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.identity.tls import make_loopback_tls
from airflow_provider_batchlinux.emulator.nodes.resource_files import fetch_resource_files
from airflow_provider_batchlinux.emulator.protocol.auth import sign
from tests.emulator.blobs.conftest import Ask
from tests.emulator.entra import credential

# All letters that a path may hold unquoted, and some that it may not.
NAME = "a b/ü!$&'()*,:;=@%2F+~.txt"
HOUR = timedelta(hours=1)
KEY = "a2V5"


def now() -> datetime:
    return datetime.now(timezone.utc)


def service(
    emulator: RunningEmulator, who: Any, kind: Any = BlobServiceClient, *, secure: bool = True
) -> Any:
    endpoint = emulator.storage.secure_endpoint if secure else emulator.storage.endpoint
    return kind(endpoint, who, connection_verify=str(emulator.ca), retry_total=0)


def delegation_key(emulator: RunningEmulator, *, reader: bool = False) -> UserDelegationKey:
    with credential(emulator, reader=reader) as who, service(emulator, who) as client:
        key: UserDelegationKey = client.get_user_delegation_key(now() - HOUR, now() + HOUR)
    return key


def code_of(call: Callable[..., Any], *arguments: Any) -> str:
    """Return the code of a call's error; nothing if it succeeds."""
    try:
        call(*arguments)
    except HttpResponseError as error:
        code = error.error_code  # type: ignore[attr-defined]
        return str(getattr(code, "value", code))
    return ""


def read_and_write(client: BlobServiceClient) -> None:
    container = client.create_container("made")
    container.upload_blob(NAME, b"hello", metadata={"k": "v"}, max_concurrency=1)
    container.upload_blob(NAME, b"hello again", overwrite=True)
    blob = container.get_blob_client(NAME)
    assert blob.download_blob(offset=6, length=5).readall() == b"again"
    assert blob.get_blob_properties().size == 11
    assert [found.name for found in container.list_blobs(name_starts_with="a b/")] == [NAME]
    assert [found.name for found in client.list_containers(results_per_page=1)] == ["also", "made"]
    assert client.get_account_information()["account_kind"] == "StorageV2"
    blob.delete_blob()
    assert (blob.exists(), container.exists()) == (False, True)
    container.delete_container()


async def read_and_write_async(client: AsyncBlobServiceClient) -> None:
    container = await client.create_container("made")
    await container.upload_blob(NAME, b"hello again")
    blob = container.get_blob_client(NAME)
    assert await (await blob.download_blob(offset=6, length=5)).readall() == b"again"
    assert [found.name async for found in container.list_blobs()] == [NAME]
    assert [found.name async for found in client.list_containers()] == ["also", "made"]
    await blob.delete_blob()
    assert (await blob.exists(), await container.exists()) == (False, True)
    await container.delete_container()


WAYS: dict[str, Callable[[RunningEmulator, Any], Any]] = {
    "key": lambda emulator, _: emulator.storage.key,
    "account SAS": lambda emulator, _: account_sas(emulator),
    "Entra": credential,
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_in_reads_and_writes(secure_emulator: RunningEmulator, way: str) -> None:
    secure_emulator.container("also")

    async def run() -> None:
        who = WAYS[way](secure_emulator, AsyncClientSecretCredential)
        async with service(secure_emulator, who, AsyncBlobServiceClient) as client:
            await read_and_write_async(client)
        if way == "Entra":
            await who.close()

    with service(secure_emulator, WAYS[way](secure_emulator, ClientSecretCredential)) as client:
        read_and_write(client)
    asyncio.run(run())


def account_sas(emulator: RunningEmulator, **parts: Any) -> str:
    given = {"resource_types": "sco", "permission": "racwdl", "expiry": now() + HOUR, **parts}
    return generate_account_sas(emulator.storage.account, emulator.storage.key, **given)


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "list containers": lambda client: list(client.list_containers()),
    "list blobs": lambda client: list(client.get_container_client("data").list_blobs()),
    "read": lambda client: client.get_blob_client("data", "a").download_blob().readall(),
    "write": lambda client: client.get_blob_client("data", "a").upload_blob(b"y", overwrite=True),
    "delete": lambda client: client.get_blob_client("data", "b").delete_blob(),
    "create container": lambda client: client.create_container("new"),
    "delete container": lambda client: client.delete_container("new"),
    "delegation key": lambda client: client.get_user_delegation_key(now(), now() + HOUR),
}
WRONG_TYPE = "AuthorizationResourceTypeMismatch"
NOT_GRANTED = "AuthorizationPermissionMismatch"
UNSIGNED = "AuthenticationFailed"
OBJECTS_ONLY = dict.fromkeys(
    ("list containers", "list blobs", "create container", "delete container"), WRONG_TYPE
)
NO_KEY = {"delegation key": UNSIGNED}
EVERYTHING = dict.fromkeys(OPERATIONS)
READ_ONLY = dict.fromkeys(("write", "delete", "create container", "delete container"), NOT_GRANTED)


@pytest.mark.parametrize(
    ("parts", "refused"),
    [
        pytest.param({}, NO_KEY, id="all"),
        pytest.param({"resource_types": "o"}, {**OBJECTS_ONLY, **NO_KEY}, id="objects"),
        pytest.param({"permission": "rl"}, {**READ_ONLY, **NO_KEY}, id="read and list"),
        pytest.param(
            {"services": "q"},
            {**dict.fromkeys(EVERYTHING, "AuthorizationServiceMismatch")},
            id="another service",
        ),
        pytest.param({"protocol": "https"}, NO_KEY, id="over HTTPS"),
        pytest.param({"ip": "10.0.0.4"}, dict.fromkeys(EVERYTHING, "AuthorizationSourceIPMismatch"), id="ip"),
        pytest.param({"expiry": now() - HOUR}, dict.fromkeys(EVERYTHING, UNSIGNED), id="expired"),
        pytest.param(
            {"start": now() + HOUR, "expiry": now() + 2 * HOUR},
            dict.fromkeys(EVERYTHING, UNSIGNED),
            id="early",
        ),
    ],
)
def test_an_account_sas_allows_what_it_grants(
    secure_emulator: RunningEmulator, parts: dict[str, Any], refused: dict[str, str]
) -> None:
    container = secure_emulator.container("data")
    for name in ("a", "b"):
        container.put(name, b"x")
    with service(secure_emulator, account_sas(secure_emulator, **parts)) as client:
        found = {name: code_of(operation, client) for name, operation in OPERATIONS.items()}

    assert {name: code for name, code in found.items() if code} == refused


@pytest.mark.parametrize(("reader", "refused"), [(False, set()), (True, set(READ_ONLY))])
def test_a_token_of_entra_allows_what_the_role_does(
    secure_emulator: RunningEmulator, reader: bool, refused: set[str]
) -> None:
    container = secure_emulator.container("data")
    for name in ("a", "b"):
        container.put(name, b"x")
    with credential(secure_emulator, reader=reader) as who, service(secure_emulator, who) as client:
        found = {name: code_of(operation, client) for name, operation in OPERATIONS.items()}

    assert {name: code for name, code in found.items() if code} == dict.fromkeys(refused, NOT_GRANTED)


def blob_sas(emulator: RunningEmulator, key: Any, blob: str = "a", **parts: Any) -> str:
    given = {"permission": "rw", "expiry": now() + HOUR, **parts}
    return generate_blob_sas(emulator.storage.account, "data", blob, user_delegation_key=key, **given)


@pytest.mark.parametrize(
    ("parts", "reads", "writes"),
    [
        pytest.param({}, "", "", id="read and write"),
        pytest.param({"permission": "r"}, "", NOT_GRANTED, id="read"),
        pytest.param({"blob": "b"}, UNSIGNED, UNSIGNED, id="another blob"),
        pytest.param({"expiry": now() - HOUR}, UNSIGNED, UNSIGNED, id="expired"),
        pytest.param({"protocol": "https"}, "", "", id="over HTTPS"),
        pytest.param({"ip": "10.0.0.4"}, *["AuthorizationSourceIPMismatch"] * 2, id="another address"),
        pytest.param({"content_type": "text/x", "encryption_scope": "s"}, "", "", id="with more fields"),
        pytest.param({"reader": True}, "", NOT_GRANTED, id="delegated by a reader"),
        pytest.param({"spoil": {"value": KEY}}, UNSIGNED, UNSIGNED, id="another key"),
        pytest.param(
            {"spoil": {"signed_expiry": "2099-01-01T00:00:00Z"}}, UNSIGNED, UNSIGNED, id="a prolonged key"
        ),
        pytest.param({"more": "&sduoid=someone"}, UNSIGNED, UNSIGNED, id="bound to a user"),
    ],
)
def test_a_user_delegation_sas_allows_what_it_and_its_owner_may(
    secure_emulator: RunningEmulator, parts: dict[str, Any], reads: str, writes: str
) -> None:
    secure_emulator.container("data").put("a", b"x")
    given = dict(parts)
    key = delegation_key(secure_emulator, reader=given.pop("reader", False))
    for name, value in given.pop("spoil", {}).items():
        setattr(key, name, value)
    more = given.pop("more", "")
    token = blob_sas(secure_emulator, key, **given) + more

    with service(secure_emulator, token) as client:
        assert code_of(lambda: OPERATIONS["read"](client)) == reads
        assert code_of(lambda: OPERATIONS["write"](client)) == writes


def test_a_user_delegation_sas_of_a_container_lists_it(secure_emulator: RunningEmulator) -> None:
    secure_emulator.container("data").put("a", b"x")
    token = generate_container_sas(
        secure_emulator.storage.account,
        "data",
        user_delegation_key=delegation_key(secure_emulator),
        permission="rl",
        expiry=now() + HOUR,
    )

    with service(secure_emulator, token, secure=False) as client:
        assert [blob.name for blob in OPERATIONS["list blobs"](client)] == ["a"]
        assert code_of(lambda: client.delete_container("data")) == "AuthorizationFailure"


@pytest.mark.parametrize(
    ("start", "expiry"),
    [
        pytest.param(-HOUR, timedelta(days=8), id="too long"),
        pytest.param(-2 * HOUR, -HOUR, id="over"),
        pytest.param(2 * HOUR, HOUR, id="ends first"),
    ],
)
def test_a_key_for_other_times_is_refused(
    secure_emulator: RunningEmulator, start: timedelta, expiry: timedelta
) -> None:
    with credential(secure_emulator) as who, service(secure_emulator, who) as client:
        code = code_of(lambda: client.get_user_delegation_key(now() + start, now() + expiry))

    assert code == "InvalidXmlNodeValue"


def test_a_key_signs_no_longer_than_it_lives() -> None:
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    token = {"sv": "2021-12-02", "sr": "b", "sp": "r", "se": "2030-01-01", "skoid": "o", "sktid": "t"}
    token |= {"skt": "2026-01-01T00:00:00Z", "ske": "2026-01-02T00:00:00Z", "sks": "b", "skv": "2021-12-02"}
    target = Target("account", "data", "a")
    key = DelegationKey("o", "t", token["skt"], token["ske"], "b", token["skv"])
    signed = {**token, "sig": sign(key.value(KEY), string_to_sign(token, target))}

    assert check_delegated_sas(signed, target, KEY, Circumstances(start, "127.0.0.1"))[0] == "r"
    for moment in (start - HOUR, start + timedelta(days=1)):
        with pytest.raises(BlobError, match="AuthenticationFailed"):
            check_delegated_sas(signed, target, KEY, Circumstances(moment, "127.0.0.1"))


def test_a_token_for_another_resource_is_refused_with_a_challenge(secure_emulator: RunningEmulator) -> None:
    class OtherAudience:
        def get_token(self, *_scopes: str, **_options: Any) -> Any:
            return who.get_token("https://batch.core.windows.net//.default")

    with (
        credential(secure_emulator) as who,
        service(secure_emulator, OtherAudience()) as client,
        pytest.raises(ClientAuthenticationError) as refusal,
    ):
        next(iter(client.list_containers()))

    assert refusal.value.status_code == 401
    response: Any = refusal.value.response
    assert "resource_id=https://storage.azure.com" in response.headers["WWW-Authenticate"]


def test_a_token_is_not_taken_over_plain_http(secure_emulator: RunningEmulator, ask: Ask) -> None:
    with credential(secure_emulator) as who:
        token = who.get_token("https://storage.azure.com/.default").token
    storage = secure_emulator.storage
    answer = ask("GET", f"{storage.endpoint}/?comp=list", authorization=f"Bearer {token}")

    assert (answer.status, answer.code) == (403, "AuthenticationFailed")


def test_nodes_download_over_https(tmp_path: Path) -> None:
    async def run() -> Any:
        storage = BlobStorage(tmp_path / "store", KEY, now)
        async with serving_blobs(storage, tls=make_loopback_tls(tmp_path)):
            url = storage.open_container("data", "rwl", 60).replace(storage.endpoint, storage.secure_endpoint)
            with storage.files.incoming() as content:
                content.write(b"x")
                content.finish()
                storage.files.put_blob("data", "a", content, {}, {}, now())
            files: list[dict[str, Any]] = [
                {"storageContainerUrl": url, "filePath": "sas"},
                {"storageContainerUrl": url.partition("?")[0], "filePath": "own", "identityReference": {}},
            ]
            return await fetch_resource_files(files, tmp_path, storage)

    assert asyncio.run(run()) is None
    assert [(tmp_path / name / "a").read_bytes() for name in ("sas", "own")] == [b"x", b"x"]
