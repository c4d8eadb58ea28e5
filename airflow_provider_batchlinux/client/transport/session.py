"""Open and close the SDK's client with our credential, time-outs and log levels."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import quote
from urllib.request import getproxies

import aiohttp
from azure.batch.aio import BatchClient
from azure.core import AsyncPipelineClient
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import AsyncHTTPPolicy, SansIOHTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest

from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.client.transport.clock import ServiceClock
from airflow_provider_batchlinux.client.transport.http import ServiceTransport
from airflow_provider_batchlinux.client.transport.policies import (
    RenewableCredential,
    RenewingBearerPolicy,
    RequestPolicy,
    SharedKeyPolicy,
)

# The SDK logs a traceback for every refusal without a body (each HEAD has none) before it raises.
logging.getLogger("azure.batch._utils.model_base").setLevel(logging.ERROR)

# azure-identity writes each request for a token to the task's log. Who has set a level has asked for it.
for _logger in map(logging.getLogger, ("azure", "msal")):
    if _logger.level == logging.NOTSET:
        _logger.setLevel(logging.WARNING)

# A firewall that drops packets is found in seconds, and the next try may reach another address.
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
"""Seconds. The service gives itself at most 30 for a request; azure-core would wait 300 for each."""

# More than the calls that run concurrently (64 for users), and far below the file descriptors of a worker.
MAX_CONNECTIONS = 128

_JSON = {"content-type": "application/json; odata=minimalmetadata"}

API_VERSION = "2025-06-01"
"""The version of our own requests: that of azure-batch 15.1, whose operations send it."""


class ServiceClient(BatchClient):
    """
    The SDK's client, with a way for the requests that go to each of a thousand nodes.

    An operation of azure-batch takes a quarter of the processor time of a request: it serializes each part of
    the URL on its own, and parses headers of the answer that are not used. ``BatchClient.send_request``, the
    SDK's way around its operations, takes as long, because it copies the request.

    :param settings: the account.
    :param credential: the credential of the SDK.
    :param options: the transport and policies of the requests.
    """

    def __init__(self, settings: AccountSettings, credential: Any, options: Mapping[str, Any]) -> None:
        super().__init__(settings.endpoint, credential, **options)
        self._url = settings.endpoint
        # Policies and transport are those of the operations, so a token is requested once for both.
        self._direct: AsyncPipelineClient[HttpRequest, AsyncHttpResponse] = AsyncPipelineClient(
            self._url, **options
        )

    async def send(self, method: str, path: Sequence[str], body: Mapping[str, Any] | None = None) -> None:
        """
        Send a request whose answer has no body.

        :param path: the parts of the path, such as ``("pools", "etl")``.
        :param body: the REST body; ``None`` for none.
        :raises HttpResponseError: the service refused it.
        """
        url = f"{self._url}/{'/'.join(quote(part, safe='') for part in path)}?api-version={API_VERSION}"
        request = (
            HttpRequest(method, url)
            if body is None
            else HttpRequest(method, url, headers=_JSON, content=json.dumps(body))
        )
        response = await self._direct.send_request(request)
        if response.status_code >= 300:
            raise HttpResponseError(response=response)


@asynccontextmanager
async def open_sdk_client(
    settings: AccountSettings, clock: ServiceClock | None = None
) -> AsyncIterator[ServiceClient]:
    """
    Open the SDK's async client, and close it with its connections and credential.

    :param settings: the account and the identity, without problems.
    :param clock: learns the service's time from the answers; ``None`` for none.
    """
    async with open_pipeline(settings) as (credential, options):
        if isinstance(credential, RenewableCredential):
            authentication: AsyncHTTPPolicy[Any, Any] = RenewingBearerPolicy(credential, settings.token_scope)
        else:
            authentication = SharedKeyPolicy(settings.account_name, settings.account_key or "")
        options["policies"] = [RequestPolicy(clock or ServiceClock()), authentication]
        client = ServiceClient(settings, credential, options)
        async with client:
            yield client


@asynccontextmanager
async def open_pipeline(
    settings: AccountSettings, transport_class: type[Any] = ServiceTransport
) -> AsyncIterator[tuple[Any, dict[str, Any]]]:
    """
    Open the credential and the HTTP transport that every client of the SDK uses.

    :param settings: the account and the identity, without problems.
    :param transport_class: the class of the transport; that of Batch accepts only answers of Batch.
    """
    async with AsyncExitStack() as stack:
        # Without this session, azure-core builds a new TLS context for every request.
        session = await stack.enter_async_context(open_session(settings))
        # Off the event loop, because an identity's credential may bring in azure.identity.
        credential: Any = await asyncio.to_thread(_credential, settings)
        if not isinstance(credential, AzureNamedKeyCredential):
            await stack.enter_async_context(credential)
        # Set on the transport: a client with its own transport ignores its own time-out options.
        transport = transport_class(
            session=session,
            session_owner=False,
            connection_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
        )
        yield credential, {"transport": transport, **_pipeline_options()}


def open_session(settings: AccountSettings) -> aiohttp.ClientSession:
    """Open an HTTP session that trusts the CA file of the settings; it does not authenticate."""
    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=_trust(settings))
    # With trust_env, aiohttp looks for a proxy twice for every request, in a thread. That takes longer than
    # everything else that a call does here.
    has_proxy = bool(getproxies())
    return aiohttp.ClientSession(
        connector=connector, trust_env=has_proxy, cookie_jar=aiohttp.DummyCookieJar()
    )


def sync_sdk_client(settings: AccountSettings) -> Any:
    """Return the SDK's synchronous client, for users who call it directly."""
    from azure.batch import BatchClient as SyncBatchClient

    credential: Any = (
        _named_key(settings)
        if settings.auth is AuthKind.SHARED_KEY
        else _identity(settings, "azure.identity")
    )
    _trust(settings)
    return SyncBatchClient(
        settings.endpoint, credential, http_logging_policy=SansIOHTTPPolicy(), **_verification(settings)
    )


def tls_context(settings: AccountSettings) -> ssl.SSLContext:
    """Return what a TLS connection to the service trusts."""
    trust = _trust(settings)
    return ssl.create_default_context() if isinstance(trust, bool) else trust


def _trust(settings: AccountSettings) -> ssl.SSLContext | bool:
    if settings.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        msg = f"ca_file={settings.ca_file!r} is not a readable file of certificates in PEM: {error}."
        raise ValueError(msg) from error


def _verification(settings: AccountSettings) -> dict[str, Any]:
    return _given(connection_verify=settings.ca_file)


def _pipeline_options() -> dict[str, Any]:
    return {
        "retry_total": 0,
        # The stock policy writes every request with its headers to the task's log.
        "http_logging_policy": SansIOHTTPPolicy(),
    }


def _credential(settings: AccountSettings) -> Any:
    if settings.auth is AuthKind.SHARED_KEY:
        return _named_key(settings)
    return RenewableCredential(lambda: _identity(settings, "azure.identity.aio"))


def _named_key(settings: AccountSettings) -> AzureNamedKeyCredential:
    return AzureNamedKeyCredential(settings.account_name, settings.account_key or "")


def _identity(settings: AccountSettings, module_name: str) -> Any:
    # azure.identity costs half a second to import, and a shared key does not need it.
    from importlib import import_module

    identity = import_module(module_name)
    tenant, client, secret = settings.tenant_id, settings.client_id, settings.client_secret
    options = {**_verification(settings), **_authority(settings)}
    if settings.auth is AuthKind.CLIENT_SECRET:
        return identity.ClientSecretCredential(tenant, client, secret, **options)
    if settings.auth is AuthKind.MANAGED_IDENTITY:
        return identity.ManagedIdentityCredential(**_given(client_id=client), **options)
    if settings.auth is AuthKind.WORKLOAD_IDENTITY:
        return identity.WorkloadIdentityCredential(**_given(tenant_id=tenant, client_id=client), **options)
    named = _given(managed_identity_client_id=client, workload_identity_tenant_id=tenant)
    return identity.DefaultAzureCredential(**named, **options)


def _authority(settings: AccountSettings) -> dict[str, Any]:
    if settings.authority_host is None:
        return {}
    # Instance discovery asks the public cloud, which does not know a private cloud and may be unreachable.
    return {"authority": settings.authority_host, "disable_instance_discovery": True}


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value}
