"""Every identity that a connection offers, for real: a token from a local Entra, taken by the service."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.emulator import (
    EmulatorOptions,
    IdentityFacts,
    RunningEmulator,
    run_emulator,
)
from airflow_provider_batchlinux.emulator.identity.tokens import TokenIssuer
from airflow_provider_batchlinux.exceptions import BatchAuthenticationError
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook
from tests.batch_account import BatchAccount
from tests.conftest import set_connection
from tests.warm_python import warm_python

Settings = Mapping[str, str]
Way = Callable[[IdentityFacts], tuple[Settings, Settings]]
"""From the facts of a local Entra to a connection's extra and the environment."""


def client_secret(facts: IdentityFacts) -> tuple[Settings, Settings]:
    application = {"client_id": facts.client_id, "client_secret": facts.client_secret}
    extra = {"auth": "client_secret", "tenant_id": facts.tenant_id, "authority_host": facts.authority}
    return {**extra, **application}, {}


def client_secret_by_environment(facts: IdentityFacts) -> tuple[Settings, Settings]:
    extra, _ = client_secret(facts)
    kept = {name: value for name, value in extra.items() if name != "authority_host"}
    return kept, {"AZURE_AUTHORITY_HOST": facts.authority}


def workload_identity(facts: IdentityFacts) -> tuple[Settings, Settings]:
    environment = {
        "AZURE_TENANT_ID": facts.tenant_id,
        "AZURE_CLIENT_ID": facts.client_id,
        "AZURE_AUTHORITY_HOST": facts.authority,
        "AZURE_FEDERATED_TOKEN_FILE": facts.federated_token_file,
    }
    return {"auth": "workload_identity"}, environment


def workload_identity_of_the_connection(facts: IdentityFacts) -> tuple[Settings, Settings]:
    named = {"workload_identity_tenant_id": facts.tenant_id, "client_id": facts.client_id}
    extra = {"auth": "workload_identity", "authority_host": facts.authority, **named}
    return extra, {"AZURE_FEDERATED_TOKEN_FILE": facts.federated_token_file}


def app_service(facts: IdentityFacts) -> tuple[Settings, Settings]:
    environment = {"IDENTITY_ENDPOINT": facts.identity_endpoint, "IDENTITY_HEADER": facts.identity_header}
    return {"auth": "managed_identity"}, environment


def metadata_service(facts: IdentityFacts) -> tuple[Settings, Settings]:
    return {"auth": "managed_identity"}, {"AZURE_POD_IDENTITY_AUTHORITY_HOST": facts.metadata_host}


def default_secret(facts: IdentityFacts) -> tuple[Settings, Settings]:
    environment = {
        "AZURE_TENANT_ID": facts.tenant_id,
        "AZURE_CLIENT_ID": facts.client_id,
        "AZURE_CLIENT_SECRET": facts.client_secret,
        "AZURE_AUTHORITY_HOST": facts.authority,
    }
    return {"auth": "default"}, environment


def named_by(way: Way, **more: str) -> Way:
    def changed(facts: IdentityFacts) -> tuple[Settings, Settings]:
        extra, environment = way(facts)
        return {**extra, **more}, environment

    return changed


def user_assigned(way: Way) -> Way:
    return lambda facts: named_by(way, managed_identity_client_id=facts.client_id)(facts)


WAYS = [
    pytest.param(client_secret, id="client_secret"),
    pytest.param(client_secret_by_environment, id="client_secret, its authority from the environment"),
    pytest.param(workload_identity, id="workload_identity"),
    pytest.param(workload_identity_of_the_connection, id="workload_identity, named by the connection"),
    pytest.param(app_service, id="managed_identity of App Service"),
    pytest.param(user_assigned(app_service), id="managed_identity of App Service, user-assigned"),
    pytest.param(metadata_service, id="managed_identity of a virtual machine"),
    pytest.param(user_assigned(metadata_service), id="managed_identity of a virtual machine, user-assigned"),
    pytest.param(named_by(workload_identity, auth="managed_identity"), id="managed_identity of Kubernetes"),
    pytest.param(default_secret, id="default, by a secret"),
    pytest.param(named_by(workload_identity, auth="default"), id="default, by a workload identity"),
    pytest.param(named_by(app_service, auth="default"), id="default, by App Service"),
    pytest.param(named_by(metadata_service, auth="default"), id="default, by a virtual machine"),
    pytest.param(named_by(default_secret, auth=""), id="none named, and no key"),
]


class Identities:
    """Puts a way to prove who one is into the environment, and nothing of any other."""

    def __init__(self, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
        assert emulator.identity is not None
        self.emulator = emulator
        self.facts = emulator.identity
        self._monkeypatch = monkeypatch

    def use(self, way: Way, facts: IdentityFacts | None = None, **more: Any) -> BatchLinuxHook:
        """Return a hook that proves who it is in a way, its connection's extra changed by ``more``."""
        extra, environment = way(facts or self.facts)
        for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_"))]:
            self._monkeypatch.delenv(name)
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)
        account = {"account_url": self.emulator.endpoint, "ca_file": str(self.emulator.ca), "retry_budget": 0}
        connection = {"conn_type": "azure_batch_linux", "extra": {**account, **extra, **more}}
        self._monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", json.dumps(connection))
        return BatchLinuxHook()


@pytest.fixture
def identities(secure_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> Identities:
    return Identities(secure_emulator, monkeypatch)


@pytest.fixture
def said_by_default() -> Iterator[Callable[[], str]]:
    """Give all that is logged where only the root logger has been given a level."""
    records: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.setFormatter(logging.Formatter())
    handler.emit = lambda record: records.append(handler.format(record))  # type: ignore[method-assign]
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lambda: "\n".join(records)
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.fixture
def said(said_by_default: Callable[[], str]) -> Iterator[Callable[[], str]]:
    """Give all that is logged by anyone, at every level."""
    loggers = [logging.getLogger(name) for name in ("azure", "msal")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield said_by_default
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def secrets_of(emulator: RunningEmulator) -> list[str]:
    facts = emulator.identity
    assert facts is not None
    federated = Path(facts.federated_token_file).read_text()
    return [emulator.key, facts.client_secret, facts.reader_client_secret, facts.identity_header, federated]


def assert_no_secret(text: str, emulator: RunningEmulator) -> None:
    assert not [secret for secret in secrets_of(emulator) if secret in text]
    assert not re.search(r"eyJ[\w-]+\.", text), "a token"


@pytest.mark.parametrize("way", WAYS)
def test_each_identity_is_let_in(way: Way, identities: Identities) -> None:
    hook = identities.use(way)

    assert hook.test_connection() == (
        True,
        f"Connected to {identities.emulator.endpoint} as {hook.settings().auth.value}.",
    )
    BatchAccount(identities.emulator).make_pool("etl")
    found = hook.find_pool("etl")
    assert found is not None
    assert found.pool_id == "etl"


@pytest.mark.parametrize("way", WAYS)
def test_the_sdks_own_client_is_let_in(way: Way, identities: Identities) -> None:
    # Its identities ask the public cloud about a host that comes from the environment alone.
    with identities.use(way, authority_host=identities.facts.authority).get_conn() as sdk:
        assert list(sdk.list_pools()) == []


def test_a_shared_key_is_let_in_over_tls(identities: Identities, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = identities.emulator
    set_connection(monkeypatch, emulator, ca_file=str(emulator.ca))

    assert BatchLinuxHook().test_connection() == (True, f"Connected to {emulator.endpoint} as shared_key.")


def test_a_reader_can_read_and_the_error_of_a_write_names_the_required_role(identities: Identities) -> None:
    facts = identities.facts
    reader = named_by(
        client_secret, client_id=facts.reader_client_id, client_secret=facts.reader_client_secret
    )
    hook = identities.use(reader)

    assert hook.find_pool("etl") is None
    with pytest.raises(BatchAuthenticationError, match="Azure Batch Data Contributor") as refused:
        BatchAccount(identities.emulator).make_pool("etl")

    assert (refused.value.code, refused.value.status) == ("InsufficientAccountPermissions", 403)


def malformed_assertion(facts: IdentityFacts) -> tuple[Settings, Settings]:
    extra, environment = workload_identity(facts)
    return extra, {**environment, "AZURE_FEDERATED_TOKEN_FILE": __file__}


def wrong_identity_header(facts: IdentityFacts) -> tuple[Settings, Settings]:
    extra, environment = app_service(facts)
    return extra, {**environment, "IDENTITY_HEADER": "wr0ng"}


REFUSALS = [
    pytest.param(named_by(client_secret, client_secret="wr0ng"), "AADSTS7000215", id="a wrong secret"),
    pytest.param(named_by(client_secret, client_id="other"), "AADSTS700016", id="an unknown application"),
    pytest.param(named_by(client_secret, tenant_id="other"), "AADSTS90002", id="an unknown tenant"),
    pytest.param(malformed_assertion, "AADSTS50027", id="a federated token that is none"),
    pytest.param(wrong_identity_header, "X-IDENTITY-HEADER", id="a process outside App Service"),
    pytest.param(named_by(app_service, client_id="x"), "Identity not found", id="none such in App Service"),
    pytest.param(
        named_by(metadata_service, client_id="x"), "Identity not found", id="none such in a machine"
    ),
]


@pytest.mark.parametrize(("way", "cause"), REFUSALS)
def test_the_error_of_an_identity_without_a_token_names_the_cause(
    way: Way, cause: str, identities: Identities, said: Callable[[], str]
) -> None:
    works, sentence = identities.use(way).test_connection()

    assert not works
    assert cause in sentence
    assert "wr0ng" not in sentence + said()
    assert_no_secret(sentence + said(), identities.emulator)
    with pytest.raises(BatchAuthenticationError):
        BatchLinuxHook().find_pool("etl")


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_and_no_token_is_logged(way: Way, identities: Identities, said: Callable[[], str]) -> None:
    hook = identities.use(way, authority_host=identities.facts.authority)

    hook.find_pool("etl")
    with hook.get_conn() as sdk:
        list(sdk.list_pools())

    assert "succeeded" in said()
    shown = f"{said()} {hook.settings()} {identities.emulator} {identities.emulator.control.requests()}"
    assert_no_secret(shown, identities.emulator)


@pytest.mark.parametrize("way", WAYS)
def test_the_requests_of_the_sdk_are_not_in_the_log_by_default(
    way: Way, identities: Identities, said_by_default: Callable[[], str]
) -> None:
    identities.use(way, authority_host=identities.facts.authority).find_pool("etl")

    assert not re.search(r"Request (URL|method|headers)|get_token|Response status", said_by_default())


def test_a_level_that_someone_has_set_for_the_sdk_is_kept() -> None:
    program = """
import logging
logging.getLogger("azure").setLevel(logging.INFO)
import airflow_provider_batchlinux.client.transport.session
print([logging.getLogger(name).level for name in ("azure", "msal")])
"""
    done = subprocess.run(warm_python("-c", program), capture_output=True, text=True, check=True)

    assert done.stdout == f"{[logging.INFO, logging.WARNING]}\n"


def test_a_refused_token_is_not_repeated(identities: Identities, said: Callable[[], str]) -> None:
    with run_emulator(
        EmulatorOptions(tls=Path(identities.facts.federated_token_file).parent / "other")
    ) as other:
        hook = identities.use(client_secret, other.identity, ca_file=both(identities.emulator, other))
        works, sentence = hook.test_connection()

    assert not works
    assert "AuthenticationFailed, HTTP 401" in sentence
    assert "The signature of the token is not the tenant's." in sentence
    assert_no_secret(sentence + said(), identities.emulator)


def expire(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    """Let the service treat the next tokens as expired, although the client was given a later expiry."""
    issue = TokenIssuer.issue
    ages = iter([timedelta(hours=-2)] * tokens)

    def issue_older(issuer: TokenIssuer, client_id: str, audience: str, now: datetime) -> str:
        return issue(issuer, client_id, audience, now + next(ages, timedelta()))

    monkeypatch.setattr(TokenIssuer, "issue", issue_older)


def statuses(emulator: RunningEmulator) -> list[int]:
    return [request["status"] for request in emulator.control.requests()]


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_has_expired_for_the_service_is_renewed(
    way: Way, identities: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = identities.use(way)
    expire(monkeypatch, tokens=1)

    assert hook.find_pool("etl") is None
    assert statuses(identities.emulator) == [401, 404]


def test_many_requests_with_one_expired_token_get_one_new_one(
    identities: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = identities.use(client_secret)
    # The initial one, and a second that must not be used.
    expire(monkeypatch, tokens=1)

    async def look(client: BatchLinuxClient) -> list[object]:
        return await asyncio.gather(*(client.find_pool(f"p{number}") for number in range(8)))

    assert hook.run(look) == [None] * 8
    assert sorted(set(statuses(identities.emulator))) == [401, 404]
    assert statuses(identities.emulator).count(404) == 8


def test_a_token_that_is_refused_again_ends_the_call_with_the_cause(
    identities: Identities, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    hook = identities.use(client_secret)
    expire(monkeypatch, tokens=100)

    with pytest.raises(BatchAuthenticationError, match="The token has expired") as refused:
        hook.find_pool("etl")

    assert statuses(identities.emulator) == [401, 401]
    assert_no_secret(f"{refused.value} {said()}", identities.emulator)


def both(one: RunningEmulator, other: RunningEmulator) -> str:
    assert one.ca
    assert other.ca
    bundle = other.ca.with_name("both.pem")
    bundle.write_text(one.ca.read_text() + other.ca.read_text())
    return str(bundle)


def test_a_service_of_an_unknown_authority_is_not_trusted(identities: Identities) -> None:
    works, sentence = identities.use(metadata_service, ca_file="").test_connection()

    assert not works
    assert "CERTIFICATE_VERIFY_FAILED" in sentence
    assert "ca_file" in sentence


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_read_is_named(
    text: str | None, identities: Identities, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    hook = identities.use(client_secret, ca_file=str(path))

    works, sentence = hook.test_connection()

    assert not works
    assert f"ca_file={str(path)!r} is not a readable file of certificates in PEM" in sentence
    with pytest.raises(ValueError, match="ca_file="):
        hook.get_conn()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        pytest.param(
            {"account_url": "http://127.0.0.1:1"},
            "auth='client_secret' needs an account_url of https: no token goes over http.",
            id="an account without TLS",
        ),
        pytest.param(
            {"authority_host": "http://127.0.0.1:1"},
            "authority_host='http://127.0.0.1:1' is not a host such as login.microsoftonline.us, reached by "
            "https.",
            id="an authority without TLS",
        ),
        pytest.param(
            {"authority_host": "https://etl:s3cret@127.0.0.1"},
            "authority_host holds a user name or password; give the host alone.",
            id="an authority with a password",
        ),
    ],
)
def test_a_connection_that_would_show_a_token_is_refused(
    more: dict[str, Any], problem: str, identities: Identities
) -> None:
    works, sentence = identities.use(client_secret, **more).test_connection()

    assert not works
    assert sentence == problem
