"""Answer a process that requests a token of the managed identity, as an Azure host does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.emulator.identity.entra import Answer, is_resource
from airflow_provider_batchlinux.emulator.identity.tenant import Application, LocalTenant
from airflow_provider_batchlinux.emulator.identity.tokens import LIFETIME
from airflow_provider_batchlinux.emulator.protocol.auth import is_secret

_OTHER_USER = "The client does not belong to the user who runs the emulator."
_UNKNOWN_USER = (
    "This system does not show which user a client belongs to: "
    "use the App Service endpoint, with IDENTITY_ENDPOINT and IDENTITY_HEADER."
)


class ManagedIdentities:
    """
    The two endpoints of managed identities.

    A request without a client id gets a token of the contributor, the host's own identity.
    """

    def __init__(self, local: LocalTenant) -> None:
        self._tenant = local.tenant
        self._issuer = local.issuer

    def app_service(
        self, headers: Mapping[str, str], query: Mapping[str, str], now: datetime, *, is_own: bool | None
    ) -> Answer:
        """
        Answer as App Service, where a secret header proves that the client is a process of the host.

        :param is_own: whether the client belongs to the owner of the emulator; ``None`` if that is unknown.
        """
        if not is_secret(headers.get("X-IDENTITY-HEADER", ""), self._tenant.identity_header):
            return Answer(401, {"statusCode": 401, "message": "The X-IDENTITY-HEADER is missing or wrong."})
        if is_own is False:
            return Answer(403, {"statusCode": 403, "message": _OTHER_USER})
        sentence, application = self._asked(query)
        if application is None:
            return Answer(400, {"statusCode": 400, "message": sentence})
        return Answer(200, {**self._token(application, query, now), "client_id": application.client_id})

    def metadata_service(
        self, headers: Mapping[str, str], query: Mapping[str, str], now: datetime, *, is_own: bool | None
    ) -> Answer:
        """
        Answer as the instance metadata service, which requires no secret.

        In Azure, only processes of the machine reach it, and they share its identity. Here the machine has
        other users, so the client must belong to the owner. Two headers reject forwarded requests, as in
        Azure.

        :param is_own: as for :meth:`app_service`.
        """
        if headers.get("Metadata", "").lower() != "true":
            return _bad_request("Required metadata header not specified")
        if "X-Forwarded-For" in headers:
            return _bad_request("The request has an X-Forwarded-For header: it was forwarded")
        if not is_own:
            sentence = _OTHER_USER if is_own is False else _UNKNOWN_USER
            return Answer(403, {"error": "forbidden", "error_description": sentence})
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
