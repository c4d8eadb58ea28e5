"""The HTTP server of the blob store."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

from aiohttp import web

from airflow_provider_batchlinux.emulator.blobs import operations
from airflow_provider_batchlinux.emulator.blobs.errors import (
    BlobCode,
    BlobError,
    error_document,
    not_emulated,
)
from airflow_provider_batchlinux.emulator.blobs.listing import list_blobs
from airflow_provider_batchlinux.emulator.blobs.sas import Target, check_sas
from airflow_provider_batchlinux.emulator.blobs.shared_key import check_shared_key
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage, is_container_name
from airflow_provider_batchlinux.emulator.blobs.wire import BlobCall, BlobReply
from airflow_provider_batchlinux.emulator.protocol.instants import format_http_date, format_instant
from airflow_provider_batchlinux.emulator.protocol.listener import loopback_socket, serving_on
from airflow_provider_batchlinux.emulator.protocol.local_files import open_for_reading, send_stretch

_log = logging.getLogger(__name__)
_CHUNK = 256 * 1024
_LONGEST_NAME = 1024
_PATH = re.compile(r"/([^/]+)/([^/]+)(?:/(.*))?", re.DOTALL)


@dataclass(frozen=True)
class _Operation:
    """
    An operation of the store.

    :param permissions: letters of which a SAS must have one; ``None`` requires the account key.
    """

    answer: Callable[[BlobCall], Awaitable[BlobReply]]
    permissions: str | None


_OPERATIONS: Mapping[tuple[str, str, str], _Operation] = {
    ("PUT", "container", ""): _Operation(operations.create_container, None),
    ("DELETE", "container", ""): _Operation(operations.delete_container, None),
    ("GET", "container", ""): _Operation(operations.get_container, None),
    ("GET", "container", "list"): _Operation(list_blobs, "l"),
    ("GET", "blob", ""): _Operation(operations.get_blob, "r"),
    ("PUT", "blob", ""): _Operation(operations.put_blob, "cw"),
    ("PUT", "blob", "block"): _Operation(operations.put_block, "cw"),
    ("PUT", "blob", "blocklist"): _Operation(operations.put_block_list, "cw"),
    ("DELETE", "blob", ""): _Operation(operations.delete_blob, "d"),
}
"""By method, target, and query parameter ``comp``. HEAD is a GET without its body."""


@asynccontextmanager
async def serving_blobs(storage: BlobStorage, port: int = 0) -> AsyncIterator[None]:
    """
    Serve a blob store on loopback over plain HTTP.

    :param port: 0 uses a free one.
    """
    with loopback_socket(port) as listener:
        storage.open(f"http://127.0.0.1:{listener.getsockname()[1]}/{storage.account}")
        async with serving_on(listener, _Server(storage).handle):
            yield


class _Server:
    """Answers requests to one storage account."""

    def __init__(self, storage: BlobStorage) -> None:
        self._storage = storage

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
        permissions = self._authenticate(request, target, query, headers, now)
        operation = _route(request.method, target, query)
        _check_permission(operation, permissions)
        call = BlobCall(
            files=self._storage.files,
            endpoint=self._storage.endpoint,
            method=request.method,
            container=target.container,
            blob=target.blob or "",
            query=query,
            headers=headers,
            now=now,
            permissions=permissions,
            chunks=request.content.iter_chunked(_CHUNK),
        )
        return await operation.answer(call)

    def _target(self, path: str) -> Target:
        match = _PATH.fullmatch(path)
        if match is None or unquote(match[1]) != self._storage.account:
            raise BlobError(BlobCode.RESOURCE_NOT_FOUND)
        container, blob = unquote(match[2]), unquote(match[3] or "")
        if not is_container_name(container) or len(blob) > _LONGEST_NAME:
            raise BlobError(BlobCode.INVALID_RESOURCE_NAME)
        return Target(self._storage.account, container, blob or None)

    def _authenticate(
        self,
        request: web.BaseRequest,
        target: Target,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        now: datetime,
    ) -> str | None:
        """Return the permissions of a request; ``None`` means all."""
        key = self._storage.key
        if "authorization" in headers:
            # Clients date requests with the system clock, also if the emulator has a manual clock.
            real = datetime.now(timezone.utc)
            check_shared_key(target.account, key, request.method, request.raw_path, headers, real)
            return None
        if not query.keys() & {"sig", "sv", "sp"}:
            # The code depends on the account and the version. Assumed.
            raise BlobError(BlobCode.AUTHORIZATION_FAILURE)
        return check_sas(query, target, key, now, request.remote or "127.0.0.1")


def _route(method: str, target: Target, query: Mapping[str, str]) -> _Operation:
    level = "container" if target.blob is None else "blob"
    verb = "GET" if method == "HEAD" else method
    operation = _OPERATIONS.get((verb, level, query.get("comp", "")))
    if operation is not None:
        return operation
    if method not in ("GET", "HEAD", "PUT", "DELETE"):
        raise BlobError(BlobCode.UNSUPPORTED_HTTP_VERB)
    raise not_emulated(what=f"this operation on a {level}")


def _check_permission(operation: _Operation, permissions: str | None) -> None:
    if permissions is None:
        return
    if operation.permissions is None:
        raise BlobError(BlobCode.AUTHORIZATION_FAILURE)
    if not set(operation.permissions) & set(permissions):
        raise BlobError(BlobCode.AUTHORIZATION_PERMISSION_MISMATCH)


def _error_reply(error: BlobError, request_id: str, now: datetime) -> BlobReply:
    headers = {"x-ms-error-code": error.code.code, "content-type": "application/xml"}
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
