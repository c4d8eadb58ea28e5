"""Answers as a host does to a process that asks for its managed identity; does no I/O, reads no clock."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.emulator.identity.entra import Answer, is_resource
from airflow_provider_batchlinux.emulator.identity.tenant import Application, LocalTenant
from airflow_provider_batchlinux.emulator.identity.tokens import LIFETIME


class ManagedIdentities:
    """
    The two endpoints of managed identities.

    Who names no client id gets the contributor, as the identity that the host itself was given.
    """

    def __init__(self, local: LocalTenant) -> None:
        self._tenant = local.tenant
        self._issuer = local.issuer

    def app_service(self, headers: Mapping[str, str], query: Mapping[str, str], now: datetime) -> Answer:
        """Answer as App Service: who asks proves by a header that it is a process of the host."""
        given = headers.get("X-IDENTITY-HEADER", "")
        if not hmac.compare_digest(given.encode(), self._tenant.identity_header.encode()):
            return Answer(401, {"statusCode": 401, "message": "The X-IDENTITY-HEADER is missing or wrong."})
        sentence, application = self._asked(query)
        if application is None:
            return Answer(400, {"statusCode": 400, "message": sentence})
        return Answer(200, {**self._token(application, query, now), "client_id": application.client_id})

    def metadata_service(self, headers: Mapping[str, str], query: Mapping[str, str], now: datetime) -> Answer:
        """Answer as the instance metadata service: a header keeps forwarded requests out."""
        if headers.get("Metadata", "").lower() != "true":
            return _bad_request("Required metadata header not specified")
        sentence, application = self._asked(query)
        if application is None:
            return _bad_request(sentence)
        return Answer(200, {**self._token(application, query, now), "expires_in": _SECONDS})

    def _asked(self, query: Mapping[str, str]) -> tuple[str, Application | None]:
        if not is_resource(query.get("resource", "")):
            return f"The resource {query.get('resource', '')!r} was not found in the tenant.", None
        if "client_id" not in query:
            return "", self._tenant.contributor
        return "Identity not found", self._tenant.application(query["client_id"])

    def _token(self, application: Application, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        return {
            "access_token": self._issuer.issue(application.client_id, query["resource"], now),
            "expires_on": str(int((now + LIFETIME).timestamp())),
            "resource": query["resource"],
            "token_type": "Bearer",
        }


_SECONDS = str(int(LIFETIME.total_seconds()))


def _bad_request(sentence: str) -> Answer:
    return Answer(400, {"error": "invalid_request", "error_description": sentence})
