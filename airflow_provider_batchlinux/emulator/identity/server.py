"""Serves the tenant's endpoints on loopback: Entra over HTTPS, managed identities over plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from aiohttp import web

from airflow_provider_batchlinux.emulator.identity.entra import Answer, Entra
from airflow_provider_batchlinux.emulator.identity.managed import ManagedIdentities
from airflow_provider_batchlinux.emulator.identity.tenant import LocalTenant, make_tenant
from airflow_provider_batchlinux.emulator.identity.tls import LoopbackTls
from airflow_provider_batchlinux.emulator.identity.tokens import TokenIssuer
from airflow_provider_batchlinux.emulator.protocol.listener import loopback_socket, stop_serving


@dataclass(frozen=True)
class IdentityFacts:
    """
    What a client needs in order to prove who it is to a running emulator.

    :param authority: URL of the local Entra, for ``AZURE_AUTHORITY_HOST``.
    :param client_id: an application that may do everything; also the managed identity.
    :param reader_client_id: an application that may only read.
    :param federated_token_file: a token for workload identity, for ``AZURE_FEDERATED_TOKEN_FILE``.
    :param identity_endpoint: App Service's endpoint, for ``IDENTITY_ENDPOINT``.
    :param identity_header: its secret, for ``IDENTITY_HEADER``.
    :param metadata_host: the metadata service, for ``AZURE_POD_IDENTITY_AUTHORITY_HOST``.
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
    """A tenant that is served: for the Batch service, and for its clients."""

    local: LocalTenant
    facts: IdentityFacts


@asynccontextmanager
async def serve_identity(tls: LoopbackTls) -> AsyncIterator[ServedIdentity]:
    """
    Serve a fresh tenant on this event loop.

    :param tls: what Entra is served with; a federated token is put beside its certificate.
    """
    with loopback_socket() as secure, loopback_socket() as plain:
        tenant = make_tenant()
        local = LocalTenant(tenant, TokenIssuer(tenant.id), f"https://127.0.0.1:{secure.getsockname()[1]}")
        entra = web.AppRunner(_entra_app(Entra(local)), access_log=None)
        managed = web.AppRunner(_managed_app(ManagedIdentities(local)), access_log=None)
        try:
            await entra.setup()
            await managed.setup()
            await web.SockSite(entra, secure, ssl_context=tls.context).start()
            await web.SockSite(managed, plain).start()
            token_file = _write_federated_token(tls.ca.parent, local.issuer)
            yield ServedIdentity(local, _facts(local, plain.getsockname()[1], token_file))
        finally:
            await stop_serving(entra)
            await stop_serving(managed)


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
    """Write a token as Kubernetes projects it into a pod, readable by this user alone."""
    claims = {
        "iss": "https://kubernetes.default.svc",
        "sub": "system:serviceaccount:airflow:worker",
        "aud": ["api://AzureADTokenExchange"],
    }
    path = directory / "federated-token"
    path.touch(mode=0o600)
    path.write_text(issuer.sign(claims))
    return path


def _entra_app(entra: Entra) -> web.Application:
    async def configuration(request: web.Request) -> web.Response:
        return _response(entra.configuration(request.match_info["tenant"], _now()))

    async def keys(_request: web.Request) -> web.Response:
        return _response(entra.keys())

    async def token(request: web.Request) -> web.Response:
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        return _response(entra.token(request.match_info["tenant"], form, _now()))

    app = web.Application()
    app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", configuration)
    app.router.add_get("/{tenant}/discovery/v2.0/keys", keys)
    app.router.add_post("/{tenant}/oauth2/v2.0/token", token)
    return app


def _managed_app(identities: ManagedIdentities) -> web.Application:
    app = web.Application()
    app.router.add_get("/msi/token", _asking(identities.app_service))
    app.router.add_get("/metadata/identity/oauth2/token", _asking(identities.metadata_service))
    return app


def _asking(answer: Callable[..., Answer]) -> Any:
    async def handle(request: web.Request) -> web.Response:
        return _response(answer(request.headers, request.query, _now()))

    return handle


def _response(answer: Answer) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.json_response(dict(answer.body), status=answer.status, headers=headers)


def _now() -> datetime:
    # Clients judge by the time of the machine whether a token still lives, as they date requests by it.
    return datetime.now(timezone.utc)
