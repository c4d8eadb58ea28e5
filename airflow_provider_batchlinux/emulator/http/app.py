"""The HTTP server of the account: the steps that every request takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from time import perf_counter
from uuid import uuid4

from aiohttp import web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from airflow_provider_batchlinux.emulator.account.account import EmulatedAccount
from airflow_provider_batchlinux.emulator.blobs.failures import without_signature
from airflow_provider_batchlinux.emulator.http.control import PREFIX, answer_control
from airflow_provider_batchlinux.emulator.http.price_list import PRICE_LIST, answer_prices
from airflow_provider_batchlinux.emulator.http.request_checks import is_invalid_url, refuse_url
from airflow_provider_batchlinux.emulator.http.routes import Operation, Router
from airflow_provider_batchlinux.emulator.identity.gate import Gate
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.local_files import open_for_reading, send_stretch
from airflow_provider_batchlinux.emulator.protocol.wire import (
    JSON_TYPE,
    Call,
    FileContent,
    Reply,
    common_headers,
    encode_body,
    error_reply,
    read_query,
)
from airflow_provider_batchlinux.emulator.simulation.faults import Fault, RequestRecord

_log = logging.getLogger(__name__)
_requests = logging.getLogger("airflow_provider_batchlinux.emulator.requests")
if _requests.level == logging.NOTSET:
    # Off unless asked for: in the process of a test, the log would wait for a handler that asks the service.
    _requests.setLevel(logging.WARNING)
_MOST_BYTES = 1024 * 1024
"""The limit that aiohttp sets for a body by default, and Batch too."""
_DROPPED = Reply(0)
"""No answer: the connection is closed instead."""


class Application:
    """
    The HTTP server of one Batch account and its control plane.

    :param gate: authenticates requests to the account.
    :param control_token: proves to the control plane that a client belongs to the owner.
    """

    def __init__(self, account: EmulatedAccount, gate: Gate, control_token: str) -> None:
        self._account = account
        self._gate = gate
        self._control_token = control_token
        self._router = Router()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, and log it."""
        started = perf_counter()
        response = await self._answer(request)
        if _requests.isEnabledFor(logging.INFO):
            milliseconds = (perf_counter() - started) * 1000
            place = without_signature(request.raw_path)
            _requests.info("%d %s %s %.1f ms", response.status, request.method, place, milliseconds)
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        raw_path = request.raw_path.partition("?")[0]
        if raw_path == PRICE_LIST:
            return answer_prices(request)
        if raw_path.startswith(PREFIX):
            answer = await answer_control(self._account, self._control_token, request)
            self._account.commit()
            return answer
        if is_invalid_url(raw_path):
            return refuse_url(self._account.clock.now())
        operation, path_values = self._router.match(request.method, raw_path)
        call = self._call(request, raw_path, path_values)
        try:
            self._authenticate(request, call)
        except ServiceError as error:
            return await self._finish(request, call, operation, error_reply(call, error))
        # Only the requests of the owner count: others cannot use up the faults that a test has injected.
        fault = self._account.faults.take(call.method, call.path, operation.name)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        reply = _DROPPED
        if fault.drop != "before":
            reply = await self._reply(request, call, operation, fault)
        if fault.drop == "after":
            reply = _DROPPED
        return await self._finish(request, call, operation, reply, fault.hold)

    def act(self, call: Call) -> Reply:
        """
        Execute a request of the management plane, which has authenticated it.

        :raises ServiceError: the service returns an error.
        """
        operation, path_values = self._router.match(call.method, call.path)
        with self._account.clock.frozen(call.now):
            answer = operation.answer(self._account.service, replace(call, path_values=path_values))
        if not isinstance(answer, Reply):
            msg = f"{operation.name} is not an operation of the management plane."
            raise TypeError(msg)
        return answer

    async def _reply(self, request: web.BaseRequest, call: Call, operation: Operation, fault: Fault) -> Reply:
        try:
            fault.raise_error()
            if request.body_exists:
                call = replace(call, body=await _read_body(request))
            with self._account.clock.frozen(call.now):
                answer = operation.answer(self._account.service, call)
            # Operations on files wait for a thread: what a task made of a directory must not hold up others.
            reply = answer if isinstance(answer, Reply) else await answer
            self._account.commit()
        except ServiceError as error:
            return error_reply(call, error)
        except Exception:
            # A bug in the emulator: clients get the same answer as for a bug in the service.
            _log.exception("Unexpected error in operation %s", operation.name)
            return error_reply(call, ServiceError(Code.INTERNAL_ERROR))
        else:
            return reply

    async def _finish(
        self,
        request: web.BaseRequest,
        call: Call,
        operation: Operation,
        reply: Reply,
        hold: float | None = None,
    ) -> web.StreamResponse:
        self._record(call, reply.status, operation)
        if hold:
            await asyncio.sleep(hold)
        return await _write(request, call, reply)

    def _call(self, request: web.BaseRequest, raw_path: str, path_values: Mapping[str, str]) -> Call:
        query, repeated = read_query(request.raw_path.partition("?")[2])
        return Call(
            method=request.method,
            path=raw_path,
            base_url=self._account.endpoint,
            request_id=str(uuid4()),
            now=self._account.clock.now(),
            query=query,
            repeated=repeated,
            path_values=path_values,
            headers={name.lower(): value for name, value in request.headers.items()},
        )

    def _authenticate(self, request: web.BaseRequest, call: Call) -> None:
        # Clients date requests with the system clock, also if the emulator has a manual clock.
        now = datetime.now(timezone.utc)
        self._gate.check(call.method, request.raw_path, call.headers, now)

    def _record(self, call: Call, status: int, operation: Operation) -> None:
        # Anyone can read the record of requests, and a signature is as good as a key.
        shown = {**call.query, **{name: "REDACTED" for name in call.query if name == "sig"}}
        query = "&".join(f"{key}={value}" for key, value in shown.items())
        self._account.requests.append(RequestRecord(call.method, call.path, query, status, operation.name))


async def _read_body(request: web.BaseRequest) -> bytes:
    try:
        return await request.read()
    except HTTPRequestEntityTooLarge:
        raise ServiceError(Code.REQUEST_BODY_TOO_LARGE, {"MaxLimit": str(_MOST_BYTES)}) from None


async def _write(request: web.BaseRequest, call: Call, reply: Reply) -> web.StreamResponse:
    if reply is _DROPPED:
        return _drop(request)
    headers = {**common_headers(call), **reply.headers}
    if reply.content is not None:
        return await _send_file(request, call, headers, reply, reply.content)
    body = reply.encoded if reply.body is None else encode_body(reply.body)
    if body is None or call.method == "HEAD":
        return web.Response(status=reply.status, headers=headers)
    headers["content-type"] = JSON_TYPE
    return web.Response(status=reply.status, headers=headers, body=body)


def _drop(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _send_file(
    request: web.BaseRequest, call: Call, headers: Mapping[str, str], reply: Reply, content: FileContent
) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=headers)
    if call.method == "HEAD":
        response.content_length = content.length
        await response.prepare(request)
        return response
    try:
        source = await asyncio.to_thread(open_for_reading, content.path)
    except OSError:
        # Removed or replaced since it was looked at.
        return await _write(request, call, error_reply(call, ServiceError(Code.FILE_NOT_FOUND)))
    return await send_stretch(request, response, source, content.offset, content.length)
