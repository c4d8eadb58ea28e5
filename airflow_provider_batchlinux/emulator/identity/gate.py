"""Authenticate and authorise requests to the account, by shared key or bearer token."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from airflow_provider_batchlinux.emulator.identity.tenant import LocalTenant, Role
from airflow_provider_batchlinux.emulator.identity.tokens import BATCH_AUDIENCES, InvalidTokenError
from airflow_provider_batchlinux.emulator.protocol.auth import authentication_failed, check_shared_key
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.simulation.options import EmulatorOptions

_READS = frozenset({"GET", "HEAD"})
_NO_SHARED_KEY = "The specified type of authentication SharedKey is not allowed for this account."
"""The sentence of the service, as quoted in Azure/BatchExplorer#239."""
_NO_TOKEN = (
    "Server failed to authenticate the request. "
    "Make sure the value of Authorization header is formed correctly."
)


class Gate:
    """
    The authentication and authorisation of a Batch account.

    :param key: the account's key.
    :param tenant: the tenant whose tokens are accepted; ``None`` accepts none, because tokens need TLS.
    """

    def __init__(self, options: EmulatorOptions, key: str, tenant: LocalTenant | None) -> None:
        self._options = options
        self._key = key
        self._tenant = tenant

    def check(self, method: str, raw_target: str, headers: Mapping[str, str], now: datetime) -> None:
        """
        Raise an error if a request is not authenticated, or its identity lacks the permission.

        :param raw_target: path and query as they were sent.
        :param headers: header fields by lower-cased name.
        :raises ServiceError: ``AuthenticationFailed`` or ``InsufficientAccountPermissions``.
        """
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if self._tenant is not None and scheme.lower() != "sharedkey":
            self._check_bearer(self._tenant, method, credentials if scheme.lower() == "bearer" else "", now)
        elif not self._options.shared_key:
            raise authentication_failed(detail=_NO_SHARED_KEY)
        else:
            check_shared_key(self._options.account, self._key, method, raw_target, headers, now)

    def _check_bearer(self, local: LocalTenant, method: str, token: str, now: datetime) -> None:
        if not token:
            raise _unauthenticated(
                local, "The Authorization header is missing, or neither SharedKey nor Bearer."
            )
        try:
            client_id = local.issuer.client_of(token.strip(), now)
        except InvalidTokenError as error:
            raise _unauthenticated(local, str(error)) from None
        application = local.tenant.application(client_id)
        if application is None or (application.role is Role.READER and method not in _READS):
            # Not documented, so assumed: this code for a missing role; a write is known by its method.
            values = {"Reason": f"The identity {client_id!r} has no role that allows {method}."}
            raise ServiceError(Code.INSUFFICIENT_ACCOUNT_PERMISSIONS, values)


def _unauthenticated(local: LocalTenant, detail: str) -> ServiceError:
    """
    Return the answer to a request without a valid token.

    Status and sentence are recorded. The challenge is assumed to be as that of ARM and Key Vault.
    """
    challenge = (
        f'Bearer authorization_uri="{local.authority}/{local.tenant.id}", resource="{BATCH_AUDIENCES[0]}"'
    )
    values = {"AuthenticationErrorDetail": detail}
    return ServiceError(
        Code.AUTHENTICATION_FAILED, values, status=401, sentence=_NO_TOKEN, challenge=challenge
    )
