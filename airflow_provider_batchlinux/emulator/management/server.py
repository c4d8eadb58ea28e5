"""The HTTPS server of the management plane, on its own port, for tokens of the local Entra tenant."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from uuid import uuid4

from aiohttp import web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from airflow_provider_batchlinux.emulator.account.account import EmulatedAccount
from airflow_provider_batchlinux.emulator.identity.tenant import LocalTenant, Role
from airflow_provider_batchlinux.emulator.identity.tls import LoopbackTls
from airflow_provider_batchlinux.emulator.identity.tokens import InvalidTokenError
from airflow_provider_batchlinux.emulator.management.arm import (
    ArmAnswer,
    ArmCall,
    ArmError,
    ManagementFacts,
    error_body,
)
from airflow_provider_batchlinux.emulator.management.resources import ManagedAccount
from airflow_provider_batchlinux.emulator.management.tenancy import ManagedTenancy
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.listener import loopback_socket, serving_on
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Reply
from airflow_provider_batchlinux.emulator.simulation.faults import RequestRecord

_log = logging.getLogger(__name__)
_PUBLIC = "https://management.azure.com"
_NO_TOKEN = "Authentication failed. The 'Authorization' header is missing in the request."


@asynccontextmanager
async def serving_management(
    tls: LoopbackTls, local: LocalTenant, account: EmulatedAccount, key: str, act: Callable[[Call], Reply]
) -> AsyncIterator[ManagementFacts]:
    """
    Serve the management plane of an account on this event loop.

    :param local: the tenant whose tokens are accepted.
    :param key: the account's key.
    :param act: makes a request to the data plane of the account, for a caller who is authenticated here.
    """
    with loopback_socket() as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        place = account.place
        facts = ManagementFacts(url, place.subscription_id, place.resource_group, place.location)
        tenancy = ManagedTenancy(facts, local)
        server = _Server(local, url, tenancy, ManagedAccount(facts, tenancy, account, key, act), account)
        async with serving_on(listener, server.handle, tls.context):
            yield facts


class _Server:
    def __init__(
        self,
        local: LocalTenant,
        url: str,
        tenancy: ManagedTenancy,
        managed: ManagedAccount,
        account: EmulatedAccount,
    ) -> None:
        self._local = local
        self._tenancy = tenancy
        self._audiences = tuple(name + end for name in (url, _PUBLIC) for end in ("", "/"))
        self._managed = managed
        self._account = account

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        challenge = None
        try:
            answer = await self._answer(request)
        except ArmError as error:
            challenge = error.challenge
            answer = ArmAnswer(error.status, error_body(error))
        except ServiceError as error:
            answer = ArmAnswer(error.status, error_body(error))
        except Exception:
            # A bug in the emulator: clients get the same answer as for a bug in Azure.
            _log.exception("Unexpected error in %s %s", request.method, request.path)
            answer = ArmAnswer(
                500, error_body(ArmError(500, "InternalServerError", "An unexpected error occurred."))
            )
        record = RequestRecord(request.method, request.path, request.query_string, answer.status, None)
        self._account.requests.append(record)
        return _response(answer, challenge)

    async def _answer(self, request: web.BaseRequest) -> ArmAnswer:
        if (request.method, request.path) == ("GET", "/metadata/endpoints"):
            return self._tenancy.endpoints()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._authenticate(request.method, headers.get("authorization", ""))
        if not request.query.get("api-version"):
            sentence = "The api-version query parameter (?api-version=) is required for all requests."
            raise ArmError(400, "MissingApiVersionParameter", sentence)
        now = self._account.clock.now()
        try:
            body = await request.read()
        except HTTPRequestEntityTooLarge:
            raise ArmError(413, "RequestEntityTooLarge", "The request content is too large.") from None
        return self._managed.answer(ArmCall(request.method, request.path, headers, body, now))

    def _authenticate(self, method: str, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise self._unauthenticated(_NO_TOKEN)
        try:
            client_id = self._local.issuer.client_of(
                token.strip(), datetime.now(timezone.utc), audiences=self._audiences
            )
        except InvalidTokenError as error:
            raise self._unauthenticated(str(error)) from None
        application = self._local.tenant.application(client_id)
        if application is None or (application.role is Role.READER and method != "GET"):
            sentence = f"The client '{client_id}' does not have authorization to perform {method} here."
            raise ArmError(403, "AuthorizationFailed", sentence)

    def _unauthenticated(self, sentence: str) -> ArmError:
        authority = f"{self._local.authority}/{self._local.tenant.id}"
        challenge = f'Bearer authorization_uri="{authority}", error="invalid_token"'
        return ArmError(401, "InvalidAuthenticationToken", sentence, challenge=challenge)


def _response(answer: ArmAnswer, challenge: str | None) -> web.Response:
    headers = {"x-ms-request-id": str(uuid4()), **answer.headers}
    if challenge is not None:
        headers["www-authenticate"] = challenge
    if answer.body is None:
        return web.Response(status=answer.status, headers=headers)
    text = json.dumps(answer.body, ensure_ascii=False)
    return web.Response(status=answer.status, headers=headers, text=text, content_type="application/json")
