"""The pipeline every request goes through, and the one place that writes HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import parse_qsl
from uuid import uuid4

from aiohttp import web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from airflow_provider_batchlinux.emulator.clock import Clock
from airflow_provider_batchlinux.emulator.control import PREFIX, answer_control
from airflow_provider_batchlinux.emulator.errors import (
    Code,
    ServiceError,
    refused_query,
)
from airflow_provider_batchlinux.emulator.faults import Fault, Faults, RequestRecord
from airflow_provider_batchlinux.emulator.identity.gate import Gate
from airflow_provider_batchlinux.emulator.options import EmulatorOptions
from airflow_provider_batchlinux.emulator.routes import Operation, Router
from airflow_provider_batchlinux.emulator.service import BatchService
from airflow_provider_batchlinux.emulator.wire import (
    JSON_TYPE,
    Call,
    FileContent,
    Reply,
    common_headers,
    encode_body,
    error_reply,
)

__all__ = ["Application"]

_log = logging.getLogger(__name__)
_CHUNK = 256 * 1024
_DATE_LENGTH = len("2025-06-01")
_MOST_RECORDED = 100_000
_DROPPED = Reply(0)
"""Stands for an answer that does not arrive: the connection is closed instead."""


class Application:
    """
    Serves one Batch account and its control plane.

    :param root: an empty directory of its own.
    :param endpoint: URL at which clients reach it.
    :param gate: lets requests to the account in.
    """

    def __init__(self, options: EmulatorOptions, clock: Clock, root: Path, endpoint: str, gate: Gate) -> None:
        self.clock = clock
        self._gate = gate
        self.faults = Faults()
        self.requests: deque[RequestRecord] = deque(maxlen=_MOST_RECORDED)
        self._options = options
        self._root = root.resolve()
        self._endpoint = endpoint
        self._router = Router()
        self.service = self._new_service()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        raw_path = request.raw_path.partition("?")[0]
        if raw_path.startswith(PREFIX):
            return await answer_control(self, request)
        operation, path_values = self._router.match(request.method, raw_path)
        call = self._call(request, raw_path, path_values)
        fault = self.faults.take(call.method, call.path)
        await asyncio.sleep(fault.delay or 0)
        reply = _DROPPED
        if fault.drop != "before":
            reply = await self._reply(request, call, operation, fault)
        if fault.drop == "after":
            reply = _DROPPED
        self._record(call, reply.status, operation)
        return await _write(request, call, reply)

    @property
    def url(self) -> str:
        """URL at which clients reach the account."""
        return self._endpoint

    def act(self, call: Call) -> Reply:
        """
        Do what another door asks for, such as the management plane; it has let the caller in.

        :raises ServiceError: the service refuses it.
        """
        operation, path_values = self._router.match(call.method, call.path)
        with self.clock.held(call.now):
            return operation.answer(self.service, replace(call, path_values=path_values))

    async def _reply(self, request: web.BaseRequest, call: Call, operation: Operation, fault: Fault) -> Reply:
        try:
            fault.strike()
            self._authenticate(request, call)
            _check_api_version(call)
            call = replace(call, body=await _read_body(request))
            with self.clock.held(call.now):
                return operation.answer(self.service, call)
        except ServiceError as error:
            return error_reply(call, error)
        except Exception:
            # A defect of the emulator: clients see what they see when the service has one.
            _log.exception("Defect in operation %s", operation.name)
            return error_reply(call, ServiceError(Code.INTERNAL_ERROR))

    def _call(self, request: web.BaseRequest, raw_path: str, path_values: Mapping[str, str]) -> Call:
        query = parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True)
        return Call(
            method=request.method,
            path=raw_path,
            base_url=self._endpoint,
            request_id=str(uuid4()),
            now=self.clock.now(),
            query={name.lower(): value for name, value in query},
            path_values=path_values,
            headers={name.lower(): value for name, value in request.headers.items()},
        )

    def _authenticate(self, request: web.BaseRequest, call: Call) -> None:
        # Clients date their requests by the time of the machine, not by a clock moved by hand.
        now = datetime.now(timezone.utc)
        self._gate.check(call.method, request.raw_path, call.headers, now)

    def _record(self, call: Call, status: int, operation: Operation) -> None:
        query = "&".join(f"{key}={value}" for key, value in call.query.items())
        self.requests.append(RequestRecord(call.method, call.path, query, status, operation.name))

    async def reset(self) -> None:
        """Go back to an empty account, without faults and recorded requests."""
        await self.service.close()
        self.faults = Faults()
        self.requests.clear()
        self.service = self._new_service()

    async def close(self) -> None:
        """End everything that runs on the nodes."""
        await self.service.close()

    def _new_service(self) -> BatchService:
        root = self._root / uuid4().hex[:8]
        return BatchService(self._options, self.clock, root, self._endpoint)


def _check_api_version(call: Call) -> None:
    if not call.api_version:
        values = {"QueryParameterName": "api-version"}
        raise ServiceError(Code.MISSING_REQUIRED_QUERY_PARAMETER, values)
    try:
        datetime.fromisoformat(call.api_version[:_DATE_LENGTH])
    except ValueError:
        reason = "The API version is not a date such as 2025-06-01"
        raise refused_query(call.api_version, of="api-version", reason=reason) from None


async def _read_body(request: web.BaseRequest) -> bytes:
    try:
        return await request.read()
    except HTTPRequestEntityTooLarge:
        raise ServiceError(Code.REQUEST_BODY_TOO_LARGE) from None


async def _write(request: web.BaseRequest, call: Call, reply: Reply) -> web.StreamResponse:
    if reply is _DROPPED:
        return _drop(request)
    headers = {**common_headers(call), **reply.headers}
    if reply.content is not None:
        return await _send_file(request, reply.status, headers, reply.content)
    if reply.body is None or call.method == "HEAD":
        return web.Response(status=reply.status, headers=headers)
    headers["content-type"] = JSON_TYPE
    return web.Response(status=reply.status, headers=headers, body=encode_body(reply.body))


def _drop(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _send_file(
    request: web.BaseRequest, status: int, headers: Mapping[str, str], content: FileContent
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = content.length
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    left = content.length
    with content.path.open("rb") as source:
        source.seek(content.offset)
        while left and (chunk := source.read(min(left, _CHUNK))):
            left -= len(chunk)
            await response.write(chunk)
    return response
