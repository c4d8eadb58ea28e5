"""Decides what a request to the blob store is allowed to do: by key, by SAS, or by a token of Entra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from airflow_provider_batchlinux.emulator.blobs.delegation import DelegationKey
from airflow_provider_batchlinux.emulator.blobs.errors import BlobCode, BlobError, authentication_failed
from airflow_provider_batchlinux.emulator.blobs.sas import (
    Circumstances,
    Target,
    check_account_sas,
    check_delegated_sas,
    check_service_sas,
)
from airflow_provider_batchlinux.emulator.blobs.shared_key import check_shared_key
from airflow_provider_batchlinux.emulator.identity.tenant import LocalTenant, Role
from airflow_provider_batchlinux.emulator.identity.tokens import STORAGE_AUDIENCES, InvalidTokenError

_OF_READER = "rl"
"""Permissions of the role Storage Blob Data Reader. Those of a contributor are all."""


@dataclass(frozen=True)
class Identity:
    """An identity of Entra that sends a request."""

    object_id: str
    tenant_id: str


@dataclass(frozen=True)
class Grant:
    """
    What a request is allowed to do.

    :param permissions: letters of a SAS; ``None`` means all.
    :param types: letters of the types of resources, as in an account SAS.
    :param is_for_account: whether it is for the whole account; a service SAS is for a container or blob.
    :param identity: the identity of a token of Entra.
    """

    permissions: str | None = None
    types: str = "sco"
    is_for_account: bool = True
    identity: Identity | None = None


@dataclass(frozen=True)
class Need:
    """
    What an operation needs.

    :param permissions: letters of which a grant must have one.
    :param types: letters of the types of resources, of which a grant must have one.
    :param is_for_account: whether a SAS of a container or blob is not enough.
    :param is_for_identities: whether a token of Entra is needed.
    """

    permissions: str
    types: str = "o"
    is_for_account: bool = False
    is_for_identities: bool = False

    def check(self, grant: Grant) -> None:
        """
        Raise an error if a grant is not enough.

        :raises BlobError: 403.
        """
        if self.is_for_identities and grant.identity is None:
            raise authentication_failed(detail="Only authentication scheme Bearer is supported")
        if self.is_for_account and not grant.is_for_account:
            raise BlobError(BlobCode.AUTHORIZATION_FAILURE)
        if not set(self.types) & set(grant.types):
            raise BlobError(BlobCode.AUTHORIZATION_RESOURCE_TYPE_MISMATCH)
        if grant.permissions is not None and not set(self.permissions) & set(grant.permissions):
            raise BlobError(BlobCode.AUTHORIZATION_PERMISSION_MISMATCH)


class BlobGate:
    """
    The authentication of requests to a storage account.

    :param key: the account's key.
    :param tenant: the tenant whose tokens are accepted; ``None`` accepts none, because tokens need HTTPS.
    """

    def __init__(self, key: str, tenant: LocalTenant | None) -> None:
        self._key = key
        self._local = tenant

    def grant(
        self,
        method: str,
        raw_target: str,
        target: Target,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        circumstances: Circumstances,
    ) -> Grant:
        """
        Return what a request is allowed to do.

        :param raw_target: path and query as sent.
        :param query: query parameters by lower-case name; ``headers`` likewise.
        :raises BlobError: the request is not authenticated.
        """
        # Clients date requests and tokens with the system clock, also if the emulator has a manual clock.
        real = datetime.now(timezone.utc)
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._bearer(credentials.strip(), real, is_secure=circumstances.is_secure)
        if scheme:
            check_shared_key(target.account, self._key, method, raw_target, headers, real)
            return Grant()
        if "ss" in query or "srt" in query:
            permissions = check_account_sas(query, target.account, self._key, circumstances)
            return Grant(permissions, query["srt"])
        if "skoid" in query:
            permissions, key = check_delegated_sas(query, target, self._key, circumstances)
            return Grant(self._as_delegated(permissions, key), is_for_account=False)
        if query.keys() & {"sig", "sv", "sp"}:
            permissions = check_service_sas(query, target, self._key, circumstances)
            return Grant(permissions, is_for_account=False)
        # The code depends on the account and the version. Assumed.
        raise BlobError(BlobCode.AUTHORIZATION_FAILURE)

    def _bearer(self, token: str, now: datetime, *, is_secure: bool) -> Grant:
        if self._local is None or not is_secure:
            # Documented is that HTTPS is required; the answer is assumed.
            raise authentication_failed(detail="Authentication scheme Bearer is not supported over HTTP")
        tenant = self._local.tenant
        try:
            client_id = self._local.issuer.client_of(token, now, audiences=STORAGE_AUDIENCES)
        except InvalidTokenError as error:
            challenge = (
                f"Bearer authorization_uri={self._local.authority}/{tenant.id}/oauth2/authorize "
                f"resource_id={STORAGE_AUDIENCES[0]}"
            )
            raise BlobError(
                BlobCode.INVALID_AUTHENTICATION_INFO,
                challenge=challenge,
                AuthenticationErrorDetail=str(error),
            ) from None
        return Grant(self._of(client_id), identity=Identity(client_id, tenant.id))

    def _of(self, object_id: str) -> str | None:
        """Return the permissions of an identity; ``None`` means all."""
        application = None if self._local is None else self._local.tenant.application(object_id)
        if application is None:
            raise BlobError(BlobCode.AUTHORIZATION_PERMISSION_MISMATCH)
        return _OF_READER if application.role is Role.READER else None

    def _as_delegated(self, permissions: str, key: DelegationKey) -> str:
        """Return those of the permissions of a token that the identity who delegates them has itself."""
        if self._local is None or key.tenant_id != self._local.tenant.id:
            raise authentication_failed(detail="The user delegation key is of another tenant")
        own = self._of(key.object_id)
        return permissions if own is None else "".join(letter for letter in permissions if letter in own)
