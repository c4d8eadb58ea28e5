"""Answer an application's request for a token as Entra does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from airflow_provider_batchlinux.emulator.identity.tenant import Application, LocalTenant
from airflow_provider_batchlinux.emulator.identity.tokens import LIFETIME

RESOURCES = ("https://batch.core.windows.net", "https://storage.azure.com", "https://management.azure.com")
"""The audiences of tokens: Batch, storage and the management plane, each of which accepts only its own."""

_LOCAL_RESOURCE = "https://127.0.0.1:"
"""The prefix of the local management plane as an audience."""

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEFAULT_SCOPE = "/.default"


def is_resource(audience: str) -> bool:
    """Return whether tokens are issued for an audience."""
    return audience.rstrip("/") in RESOURCES or audience.startswith(_LOCAL_RESOURCE)


@dataclass(frozen=True)
class Answer:
    """The answer of an identity endpoint."""

    status: int
    body: Mapping[str, Any]


class _Refusal(Exception):
    """A request for a token is refused; has Entra's number of the cause."""

    def __init__(self, number: int, error: str, sentence: str, *, status: int = 400) -> None:
        self.number = number
        self.error = error
        self.status = status
        super().__init__(sentence)


class Entra:
    """The token endpoint of one tenant, and the documents that clients read first."""

    def __init__(self, local: LocalTenant) -> None:
        self._tenant = local.tenant
        self._issuer = local.issuer
        self._authority = local.authority

    def configuration(self, tenant_id: str, now: datetime) -> Answer:
        """Return the OpenID configuration of a tenant."""
        try:
            self._check_tenant(tenant_id)
        except _Refusal as refusal:
            return _refused(refusal, now)
        base = f"{self._authority}/{tenant_id}"
        body = {
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_types_supported": ["code", "token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        }
        return Answer(200, body)

    def keys(self) -> Answer:
        """Return the public keys of the tokens' signatures."""
        return Answer(200, self._issuer.public_keys())

    def token(self, tenant_id: str, form: Mapping[str, str], now: datetime) -> Answer:
        """Issue a token to an application that authenticates with its secret or a federated token."""
        try:
            self._check_tenant(tenant_id)
            _check_grant(form)
            application = self._application(form)
            audience = _audience(form.get("scope", ""))
        except _Refusal as refusal:
            return _refused(refusal, now)
        lifetime = int(LIFETIME.total_seconds())
        token = self._issuer.issue(application.client_id, audience, now)
        times = {"expires_in": lifetime, "ext_expires_in": lifetime}
        return Answer(200, {"token_type": "Bearer", **times, "access_token": token})

    def _check_tenant(self, tenant_id: str) -> None:
        if tenant_id != self._tenant.id:
            raise _Refusal(90002, "invalid_request", f"Tenant {tenant_id!r} not found.")

    def _application(self, form: Mapping[str, str]) -> Application:
        client_id = form.get("client_id", "")
        application = self._tenant.application(client_id)
        if application is None:
            sentence = f"Application with identifier {client_id!r} was not found in the directory."
            raise _Refusal(700016, "unauthorized_client", sentence)
        if "client_assertion" in form:
            self._check_assertion(form)
        elif "client_secret" not in form:
            sentence = "The request body must contain 'client_assertion' or 'client_secret'."
            raise _Refusal(7000218, "invalid_client", sentence, status=401)
        elif not application.has_secret(form["client_secret"]):
            raise _Refusal(7000215, "invalid_client", "Invalid client secret provided.", status=401)
        return application

    def _check_assertion(self, form: Mapping[str, str]) -> None:
        is_jwt = form.get("client_assertion_type") == _ASSERTION_TYPE
        if not is_jwt or not self._issuer.is_assertion(form["client_assertion"]):
            sentence = "Invalid JWT token: the client assertion is not a federated token of this tenant."
            raise _Refusal(50027, "invalid_client", sentence, status=401)


def _check_grant(form: Mapping[str, str]) -> None:
    grant = form.get("grant_type", "")
    if not grant:
        sentence = "The request body must contain the following parameter: 'grant_type'."
        raise _Refusal(900144, "invalid_request", sentence)
    if grant != "client_credentials":
        sentence = f"The app requested an unsupported grant type {grant!r}."
        raise _Refusal(70003, "unsupported_grant_type", sentence)


def _audience(scope: str) -> str:
    audience = scope.split(" ")[0].removesuffix(_DEFAULT_SCOPE)
    if not scope.split(" ")[0].endswith(_DEFAULT_SCOPE):
        sentence = f"The provided value {scope!r} for the input parameter 'scope' is not valid."
        raise _Refusal(70011, "invalid_scope", sentence)
    if not is_resource(audience):
        sentence = f"The resource principal named {audience!r} was not found in the tenant."
        raise _Refusal(500011, "invalid_resource", sentence)
    return audience


def _refused(refusal: _Refusal, now: datetime) -> Answer:
    trace, correlation = str(uuid4()), str(uuid4())
    timestamp = f"{now:%Y-%m-%d %H:%M:%SZ}"
    description = (
        f"AADSTS{refusal.number}: {refusal} "
        f"Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}"
    )
    body = {
        "error": refusal.error,
        "error_description": description,
        "error_codes": [refusal.number],
        "timestamp": timestamp,
        "trace_id": trace,
        "correlation_id": correlation,
    }
    return Answer(refusal.status, body)
