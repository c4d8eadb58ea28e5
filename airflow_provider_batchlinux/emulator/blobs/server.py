"""The HTTP server of the blob store."""

from __future__ import annotations

import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

from aiohttp import web

from airflow_provider_batchlinux.emulator.blobs import operations
from airflow_provider_batchlinux.emulator.blobs.access import BlobGate, Need
from airflow_provider_batchlinux.emulator.blobs.errors import (
    BlobCode,
    BlobError,
    error_document,
    not_emulated,
)
from airflow_provider_batchlinux.emulator.blobs.listing import list_blobs, list_containers
from airflow_provider_batchlinux.emulator.blobs.sas import EVERY_PERMISSION, Circumstances, Target
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage, is_container_name
from airflow_provider_batchlinux.emulator.blobs.wire import BlobCall, BlobReply
from airflow_provider_batchlinux.emulator.identity.tenant import LocalTenant
from airflow_provider_batchlinux.emulator.identity.tls import LoopbackTls
from airflow_provider_batchlinux.emulator.protocol.instants import format_http_date, format_instant
from airflow_provider_batchlinux.emulator.protocol.listener import loopback_socket, serving_on
from airflow_provider_batchlinux.emulator.protocol.local_files import open_for_reading, send_stretch

_log = logging.getLogger(__name__)
_CHUNK = 256 * 1024
# Documented: characters of a blob's name.
_LONGEST_NAME = 1024
_PATH = re.compile(r"/([^/]+)(?:/(?:([^/]+)(?:/(.*))?)?)?", re.DOTALL)


@dataclass(frozen=True)
class _Operation:
    """An operation of the store, and what it needs."""

    answer: Callable[[BlobCall], Awaitable[BlobReply]]
    need: Need


_FOR_IDENTITIES = Need(EVERY_PERMISSION, "s", is_for_identities=True)

_OPERATIONS: Mapping[tuple[str, str, str], _Operation] = {
    ("GET", "account", "properties"): _Operation(
        operations.get_account_information, Need(EVERY_PERMISSION, "sco")
    ),
    ("GET", "service", "list"): _Operation(list_containers, Need("l", "s", is_for_account=True)),
    ("POST", "service", "userdelegationkey"): _Operation(operations.get_delegation_key, _FOR_IDENTITIES),
    ("PUT", "container", ""): _Operation(operations.create_container, Need("cw", "c", is_for_account=True)),
    ("DELETE", "container", ""): _Operation(operations.delete_container, Need("d", "c", is_for_account=True)),
    ("GET", "container", ""): _Operation(operations.get_container, Need("r", "c", is_for_account=True)),
    ("GET", "container", "list"): _Operation(list_blobs, Need("l", "c")),
    ("GET", "blob", ""): _Operation(operations.get_blob, Need("r")),
    ("PUT", "blob", ""): _Operation(operations.put_blob, Need("cw")),
    ("PUT", "blob", "block"): _Operation(operations.put_block, Need("cw")),
    ("PUT", "blob", "blocklist"): _Operation(operations.put_block_list, Need("cw")),
    ("DELETE", "blob", ""): _Operation(operations.delete_blob, Need("d")),
}
"""By method, target, and query parameter ``comp``. HEAD is a GET without its body."""


@asynccontextmanager
async def serving_blobs(
    storage: BlobStorage, port: int = 0, tls: LoopbackTls | None = None, tenant: LocalTenant | None = None
) -> AsyncIterator[None]:
    """
    Serve a blob store on loopback over plain HTTP, and over HTTPS on another port.

    :param port: the port for plain HTTP; 0 uses a free one.
    :param tls: the certificate for HTTPS; ``None`` serves plain HTTP only.
    :param tenant: the tenant whose tokens are accepted over HTTPS.
    """
    gate = BlobGate(storage.key, tenant)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(loopback_socket(port))
        storage.endpoint = _endpoint("http", listener, storage.account)
        await stack.enter_async_context(serving_on(listener, _Server(storage, gate).handle))
        if tls is not None:
            secure = stack.enter_context(loopback_socket())
            storage.trust = ssl.create_default_context()
            storage.trust.load_verify_locations(tls.ca)
            storage.secure_endpoint = _endpoint("https", secure, storage.account)
            await stack.enter_async_context(
                serving_on(secure, _Server(storage, gate, is_secure=True).handle, tls.context)
            )
        yield


def _endpoint(scheme: str, listener: socket.socket, account: str) -> str:
    return f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/{account}"


class _Server:
    """Answers requests to one storage account."""

    def __init__(self, storage: BlobStorage, gate: BlobGate, *, is_secure: bool = False) -> None:
        self._storage = storage
        self._gate = gate
        self._is_secure = is_secure

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        now, request_id = self._storage.now(), str(uuid4())
        try:
            reply = await self._reply(request, now)
        except BlobError as error:
            reply = _error_reply(error, request_id, now)
        except Exception:
            # A bug in the store: clients get the same answer as for a bug in Azure Storage.
            _log.exception("Unexpected error in the blob store")
            reply = _error_reply(BlobError(BlobCode.INTERNAL_ERROR), request_id, now)
        version = request.headers.get("x-ms-version") or request.query.get("sv")
        common = {
            "x-ms-request-id": request_id,
            "date": format_http_date(now),
            "server": "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0",
            **({"x-ms-version": version} if version else {}),
        }
        return await _write(request, reply, {**common, **reply.headers})

    async def _reply(self, request: web.BaseRequest, now: datetime) -> BlobReply:
        path, _, raw_query = request.raw_path.partition("?")
        query = {name.lower(): value for name, value in parse_qsl(raw_query, keep_blank_values=True)}
        headers = {name.lower(): value for name, value in request.headers.items()}
        target = self._target(path)
        circumstances = Circumstances(now, request.remote or "127.0.0.1", self._is_secure)
        grant = self._gate.grant(request.method, request.raw_path, target, query, headers, circumstances)
        operation = _route(request.method, target, query)
        operation.need.check(grant)
        call = BlobCall(
            storage=self._storage,
            method=request.method,
            container=target.container,
            blob=target.blob or "",
            query=query,
            headers=headers,
            now=now,
            grant=grant,
            chunks=request.content.iter_chunked(_CHUNK),
        )
        return await operation.answer(call)

    def _target(self, path: str) -> Target:
        match = _PATH.fullmatch(path)
        if match is None or unquote(match[1]) != self._storage.account:
            raise BlobError(BlobCode.RESOURCE_NOT_FOUND)
        container, blob = unquote(match[2] or ""), unquote(match[3] or "")
        if (container and not is_container_name(container)) or len(blob) > _LONGEST_NAME:
            raise BlobError(BlobCode.INVALID_RESOURCE_NAME)
        return Target(self._storage.account, container, blob or None)


def _route(method: str, target: Target, query: Mapping[str, str]) -> _Operation:
    level = "service" if not target.container else "container" if target.blob is None else "blob"
    if query.get("restype") == "account":
        level = "account"
    verb = "GET" if method == "HEAD" else method
    operation = _OPERATIONS.get((verb, level, query.get("comp", "")))
    if operation is not None:
        return operation
    if method not in ("GET", "HEAD", "PUT", "DELETE"):
        raise BlobError(BlobCode.UNSUPPORTED_HTTP_VERB)
    raise not_emulated(what=f"this operation on a {level}")


def _error_reply(error: BlobError, request_id: str, now: datetime) -> BlobReply:
    headers = {"x-ms-error-code": error.code.code, "content-type": "application/xml"}
    if error.challenge is not None:
        headers["www-authenticate"] = error.challenge
    return BlobReply(error.status, headers, error_document(error, request_id, format_instant(now)))


async def _write(
    request: web.BaseRequest, reply: BlobReply, headers: Mapping[str, str]
) -> web.StreamResponse:
    if reply.content is None:
        has_body = request.method != "HEAD" and reply.status != 304
        return web.Response(status=reply.status, headers=headers, body=reply.body if has_body else None)
    path, offset, length = reply.content
    response = web.StreamResponse(status=reply.status, headers=headers)
    # Open the file first: another request may replace the blob while this one is sent.
    return await send_stretch(request, response, open_for_reading(path), offset, length)
