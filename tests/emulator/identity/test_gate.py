"""Who is let in over TLS, by the SDK and by hand, and what others are answered."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.batch import BatchClient, models
from azure.batch.aio import BatchClient as AsyncBatchClient
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential
from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential

from airflow_provider_batchlinux.emulator import (
    EmulatorControl,
    EmulatorOptions,
    RunningEmulator,
    run_emulator,
)
from tests.emulator.entra import credential

CHALLENGE = 'Bearer authorization_uri="{}/{}", resource="https://batch.core.windows.net/"'


class OtherAudience:
    """A credential whose tokens are for the management plane."""

    def __init__(self, credential: ClientSecretCredential) -> None:
        self._credential = credential

    def get_token(self, *_scopes: str, **_options: Any) -> Any:
        return self._credential.get_token("https://management.azure.com/.default")


def sdk(emulator: RunningEmulator, who: Any) -> BatchClient:
    return BatchClient(emulator.endpoint, who, connection_verify=str(emulator.ca), retry_total=0)


def error_of(error: HttpResponseError) -> models.BatchError:
    assert isinstance(error.model, models.BatchError)
    return error.model


def named_key(emulator: RunningEmulator) -> AzureNamedKeyCredential:
    return AzureNamedKeyCredential(emulator.account, emulator.key)


def get(emulator: RunningEmulator, authorization: str | None) -> tuple[int, dict[str, str], Any]:
    context = ssl.create_default_context(cafile=emulator.ca)
    connection = HTTPSConnection(urlsplit(emulator.endpoint).netloc, timeout=10, context=context)
    headers = {} if authorization is None else {"Authorization": authorization}
    try:
        connection.request("GET", "/pools?api-version=2025-06-01", headers=headers)
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        return response.status, named, json.loads(response.read())
    finally:
        connection.close()


@pytest.fixture
def tokens_only(tmp_path: Path) -> Iterator[RunningEmulator]:
    """Give a service whose account does not take its key."""
    with run_emulator(EmulatorOptions(tls=tmp_path / "new", shared_key=False)) as emulator:
        yield emulator


def test_a_key_and_a_token_lead_to_the_same_account(secure_emulator: RunningEmulator) -> None:
    job = models.BatchJobCreateOptions(id="j", pool_info=models.BatchPoolInfo(pool_id="p"))
    with sdk(secure_emulator, credential(secure_emulator)) as by_token:
        by_token.create_job(job)
    with sdk(secure_emulator, named_key(secure_emulator)) as by_key:
        found = [job.id for job in by_key.list_jobs()]

    assert found == ["j"]


def test_a_subnet_is_refused_to_a_token_as_recorded_and_to_the_key_in_its_own_words(
    secure_emulator: RunningEmulator,
) -> None:
    assert secure_emulator.management is not None
    subscription = secure_emulator.management.subscription_id
    place = f"/subscriptions/{subscription}/resourceGroups/test/providers/Microsoft.Network"
    subnet = f"{place}/virtualNetworks/vnet1/subnets/subnet1"
    found = {}
    for who in (credential(secure_emulator), named_key(secure_emulator)):
        with sdk(secure_emulator, who) as client, pytest.raises(HttpResponseError) as refused:
            client.create_pool(_pool(networkConfiguration={"subnetId": subnet}))
        error: Any = error_of(refused.value)
        sentence = error.message.value.partition("\n")[0]
        values = [(value.key, value.value) for value in error.error_values]
        found[refused.value.status_code, error.code] = (sentence, values)

    reason = f"Property subnetId with value {subnet} is not enabled for current account"
    assert found[403, "Forbidden"] == ("Access is Forbidden", [("Reason", reason)])
    assert "resources of type Network are linked" in str(found[403, "AuthenticationFailed"])


def test_an_image_of_a_gallery_is_for_tokens(secure_emulator: RunningEmulator) -> None:
    image_id = secure_emulator.control.set_image("linux", gallery="shared", version="1.0.0")
    machine = {"imageReference": {"virtualMachineImageId": image_id}, "nodeAgentSKUId": "batch.node.el 9"}
    with sdk(secure_emulator, named_key(secure_emulator)) as client, pytest.raises(HttpResponseError):
        client.create_pool(_pool(virtualMachineConfiguration=machine))
    with sdk(secure_emulator, credential(secure_emulator)) as client:
        client.create_pool(_pool(virtualMachineConfiguration=machine))

        assert [pool.id for pool in client.list_pools()] == ["linux"]


def _pool(**more: Any) -> Any:
    reference = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
    machine = {"imageReference": reference, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
    return {"id": "linux", "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": machine, **more}


def test_the_asynchronous_sdk_is_let_in_by_token(secure_emulator: RunningEmulator) -> None:
    async def list_jobs() -> list[Any]:
        async with (
            credential(secure_emulator, AsyncClientSecretCredential) as who,
            AsyncBatchClient(
                secure_emulator.endpoint, who, connection_verify=str(secure_emulator.ca)
            ) as client,
        ):
            return [job async for job in client.list_jobs()]

    assert asyncio.run(list_jobs()) == []


def test_a_token_for_another_audience_is_refused(secure_emulator: RunningEmulator) -> None:
    who: Any = OtherAudience(credential(secure_emulator))
    with sdk(secure_emulator, who) as client, pytest.raises(ClientAuthenticationError) as refused:
        list(client.list_jobs())

    assert refused.value.status_code == 401
    assert "wrong audience or resource 'https://management.azure.com'" in str(refused.value.model)


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(None, id="nothing"),
        pytest.param("Bearer", id="no token"),
        pytest.param("Bearer of.good.news", id="a token that is none"),
        pytest.param("Basic YTpi", id="another scheme"),
        pytest.param("Bearer " + "a" * 5000, id="a long token"),
    ],
)
def test_who_is_not_let_in_is_told_where_tokens_are_given(
    authorization: str | None, secure_emulator: RunningEmulator
) -> None:
    status, headers, body = get(secure_emulator, authorization)

    facts = secure_emulator.identity
    assert facts is not None
    assert (status, body["code"]) == (401, "AuthenticationFailed")
    assert body["message"]["value"].partition("\n")[0].endswith("is formed correctly.")
    assert headers["www-authenticate"] == CHALLENGE.format(facts.authority, facts.tenant_id)
    assert not authorization or authorization.partition(" ")[2] not in str(body) or authorization == "Bearer"


def test_a_reader_may_read_and_not_write(secure_emulator: RunningEmulator) -> None:
    job = models.BatchJobCreateOptions(id="j", pool_info=models.BatchPoolInfo(pool_id="p"))
    with sdk(secure_emulator, credential(secure_emulator, reader=True)) as client:
        assert list(client.list_jobs()) == []
        with pytest.raises(HttpResponseError) as refused:
            client.create_job(job)
        assert list(client.list_jobs()) == []

    assert refused.value.status_code == 403
    assert error_of(refused.value).code == "InsufficientAccountPermissions"


def test_an_account_without_its_key_takes_tokens_only(tokens_only: RunningEmulator) -> None:
    with sdk(tokens_only, credential(tokens_only)) as client:
        assert list(client.list_jobs()) == []
    with sdk(tokens_only, named_key(tokens_only)) as client, pytest.raises(HttpResponseError) as refused:
        list(client.list_jobs())

    error = error_of(refused.value)
    assert error.code == "AuthenticationFailed"
    assert [detail.value for detail in error.error_values or ()] == [
        "The specified type of authentication SharedKey is not allowed for this account."
    ]


def test_options_without_any_way_to_authenticate_are_refused() -> None:
    with pytest.raises(ValueError, match="shared_key is off without tls, so no request could"):
        EmulatorOptions(shared_key=False)


def test_the_control_plane_is_reached_over_tls(secure_emulator: RunningEmulator) -> None:
    get(secure_emulator, None)

    assert [request["status"] for request in secure_emulator.control.requests()] == [401]


def test_a_client_that_does_not_trust_the_authority_is_not_served(secure_emulator: RunningEmulator) -> None:
    stranger = EmulatorControl(secure_emulator.endpoint, secure_emulator.control_token)

    with pytest.raises(ConnectionError):
        stranger.requests()


def test_no_connection_outlives_the_service(tmp_path: Path) -> None:
    with run_emulator(EmulatorOptions(tls=tmp_path)) as emulator:
        assert emulator.identity
        context = ssl.create_default_context(cafile=emulator.ca)
        open_ones = []
        for url in (emulator.endpoint, emulator.identity.authority):
            connection = HTTPSConnection(urlsplit(url).netloc, timeout=5, context=context)
            connection.request("GET", "/none/discovery/v2.0/keys")
            connection.getresponse().read()
            open_ones.append(connection)

    for connection in open_ones:
        with suppress(ConnectionError):
            assert connection.sock.recv(1) == b""
        connection.close()
    gc.collect()


def test_each_start_makes_an_authority_its_own_tenant_and_secrets(
    secure_emulator: RunningEmulator, tokens_only: RunningEmulator
) -> None:
    assert secure_emulator.ca
    assert tokens_only.ca
    assert secure_emulator.ca.read_bytes() != tokens_only.ca.read_bytes()
    assert secure_emulator.identity
    assert tokens_only.identity
    ours, theirs = vars(secure_emulator.identity), vars(tokens_only.identity)
    assert not [name for name in ours if ours[name] == theirs[name]]


def test_no_secret_shows_in_what_runs(secure_emulator: RunningEmulator) -> None:
    facts = secure_emulator.identity
    assert facts is not None
    secrets = {
        secure_emulator.key,
        secure_emulator.control_token,
        facts.client_secret,
        facts.reader_client_secret,
        facts.identity_header,
    }

    assert not [secret for secret in secrets if secret in repr(secure_emulator)]
    assert Path(facts.federated_token_file).stat().st_mode & 0o077 == 0


def test_the_command_says_how_to_get_in_over_tls(tmp_path: Path) -> None:
    arguments = ["--tls", str(tmp_path / "tls"), "--no-shared-key", "--root", str(tmp_path)]
    command = [sys.executable, "-m", "airflow_provider_batchlinux.emulator", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline().partition(" ")[2])
        requests = EmulatorControl(ready["endpoint"], ready["control_token"], ready["ca"]).requests()
        process.send_signal(signal.SIGTERM)
        rest, complaints = process.communicate(timeout=60)

    assert (process.returncode, rest, complaints, requests) == (0, "", "", [])
    assert ready["ca"] == str(tmp_path / "tls" / "ca.pem")
    assert {"authority", "tenant_id", "client_id", "client_secret"} <= set(ready["identity"])
