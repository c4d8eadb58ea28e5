"""Serve the tenant's endpoints on loopback: Entra over HTTPS, managed identities over plain HTTP."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl

from aiohttp import web

from airflow_provider_batchlinux.emulator.identity.entra import Answer, Entra
from airflow_provider_batchlinux.emulator.identity.managed import ManagedIdentities
from airflow_provider_batchlinux.emulator.identity.peers import is_own_process
from airflow_provider_batchlinux.emulator.identity.tenant import LocalTenant, make_tenant
from airflow_provider_batchlinux.emulator.identity.tls import LoopbackTls
from airflow_provider_batchlinux.emulator.identity.tokens import TokenIssuer
from airflow_provider_batchlinux.emulator.protocol.listener import loopback_socket, serving_on


@dataclass(frozen=True)
class IdentityFacts:
    """
    The settings with which a client authenticates to a running emulator.

    :param authority: URL of the local Entra, for ``AZURE_AUTHORITY_HOST``.
    :param client_id: an application with all permissions; also the managed identity.
    :param reader_client_id: an application with read permission only.
    :param federated_token_file: a token for workload identity, for ``AZURE_FEDERATED_TOKEN_FILE``.
    :param identity_endpoint: App Service's endpoint, for ``IDENTITY_ENDPOINT``.
    :param identity_header: its secret, for ``IDENTITY_HEADER``.
    :param metadata_host: the metadata service, for ``AZURE_POD_IDENTITY_AUTHORITY_HOST``; it has no secret,
        so it answers only processes of the user who runs the emulator, and only on Linux, which shows that.
    """

    authority: str
    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    reader_client_id: str
    reader_client_secret: str = field(repr=False)
    federated_token_file: str
    identity_endpoint: str
    identity_header: str = field(repr=False)
    metadata_host: str


@dataclass(frozen=True)
class ServedIdentity:
    """A running tenant: for the Batch service, and for its clients."""

    local: LocalTenant
    facts: IdentityFacts


@asynccontextmanager
async def serve_identity(tls: LoopbackTls) -> AsyncIterator[ServedIdentity]:
    """
    Serve a new tenant on this event loop.

    :param tls: the certificate for Entra; the federated token is written to the same directory.
    """
    with loopback_socket() as secure, loopback_socket() as plain:
        tenant = make_tenant()
        local = LocalTenant(tenant, TokenIssuer(tenant.id), f"https://127.0.0.1:{secure.getsockname()[1]}")
        token_file = _write_federated_token(tls.ca.parent, local.issuer)
        async with (
            serving_on(secure, partial(_answer_entra, Entra(local)), tls.context),
            serving_on(plain, partial(_answer_managed, ManagedIdentities(local))),
        ):
            yield ServedIdentity(local, _facts(local, plain.getsockname()[1], token_file))


def _facts(local: LocalTenant, managed_port: int, token_file: Path) -> IdentityFacts:
    tenant = local.tenant
    metadata_host = f"http://127.0.0.1:{managed_port}"
    return IdentityFacts(
        authority=local.authority,
        tenant_id=tenant.id,
        client_id=tenant.contributor.client_id,
        client_secret=tenant.contributor.secret,
        reader_client_id=tenant.reader.client_id,
        reader_client_secret=tenant.reader.secret,
        federated_token_file=str(token_file),
        identity_endpoint=f"{metadata_host}/msi/token",
        identity_header=tenant.identity_header,
        metadata_host=metadata_host,
    )


def _write_federated_token(directory: Path, issuer: TokenIssuer) -> Path:
    """Write a token as Kubernetes projects it into a pod, readable only by this user."""
    path = directory / "federated-token"
    # Created again: an existing file may be a link, or be readable by others.
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(issuer.issue_assertion())
    return path


async def _answer_entra(entra: Entra, request: web.BaseRequest) -> web.Response:
    tenant, _, endpoint = request.path.lstrip("/").partition("/")
    if (request.method, endpoint) == ("GET", "v2.0/.well-known/openid-configuration"):
        return _response(entra.configuration(tenant, _now()))
    if (request.method, endpoint) == ("GET", "discovery/v2.0/keys"):
        return _response(entra.keys())
    if (request.method, endpoint) == ("POST", "oauth2/v2.0/token"):
        return _response(entra.token(tenant, await _read_form(request), _now()))
    return _not_found(request)


async def _read_form(request: web.BaseRequest) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    return dict(parse_qsl((await request.read()).decode(errors="replace"), keep_blank_values=True))


async def _answer_managed(identities: ManagedIdentities, request: web.BaseRequest) -> web.Response:
    transport = request.transport
    # The owner of a closed connection is unknown.
    is_own = transport is not None and is_own_process(
        transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    )
    answers = {
        "/msi/token": identities.app_service,
        "/metadata/identity/oauth2/token": identities.metadata_service,
    }
    if request.method != "GET" or request.path not in answers:
        return _not_found(request)
    return _response(answers[request.path](request.headers, request.query, _now(), is_own=is_own))


def _not_found(request: web.BaseRequest) -> web.Response:
    return _response(Answer(404, {"error": f"There is no {request.method} {request.path}."}))


def _response(answer: Answer) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.json_response(dict(answer.body), status=answer.status, headers=headers)


def _now() -> datetime:
    # Clients use the clock of the machine to decide whether a token has expired, and to date requests.
    return datetime.now(timezone.utc)
