"""Sign URLs of storage accounts, and put and delete blobs; the one user of azure-storage-blob."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.transport import AioHttpTransport

from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.client.transport.session import open_pipeline
from airflow_provider_batchlinux.core.secrets import without_signatures
from airflow_provider_batchlinux.core.storage.failures import account_remedy
from airflow_provider_batchlinux.core.storage.grants import Grant, require_valid_sas
from airflow_provider_batchlinux.core.storage.locations import StorageLocation
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    BatchRequestError,
    BatchUnreachableError,
)

log = logging.getLogger(__name__)

_PERMISSIONS = {"read": "r", "list": "rl", "write": "cw"}
_LONGEST_DELEGATION = timedelta(days=7) - timedelta(minutes=15)
"""Azure's limit for a user delegation key, less what clocks may differ."""

_NOT_FOUND = 404
_INSTALL = "azure-storage-blob is not installed: pip install 'airflow-provider-batchlinux[storage]'."


@dataclass(frozen=True)
class StorageSettings:
    """
    A storage account, and how to authenticate there.

    :param conn_id: the connection that says so, for messages.
    :param account: the account's URL, and the key or identity.
    :param sas: a SAS to use instead.
    """

    conn_id: str
    account: AccountSettings
    sas: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StorageAccess:
    """
    The storage accounts that the connections of Airflow lead to.

    :param settings: returns what a connection says.
    :param now: returns the time; a test passes its own.
    :param retries: how often a request is sent again if it is not answered.
    """

    settings: Callable[[str], Awaitable[StorageSettings]]
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    retries: int = 2

    async def urls(self, grants: Iterable[Grant], lifetime: timedelta) -> dict[Grant, str]:
        """
        Return the URL for each grant, with a SAS that allows no more, unless an identity is used instead.

        :param lifetime: how long each SAS is valid.
        :raises ValueError: a connection cannot be used for a grant.
        :raises BatchLinuxError: a storage account refused a user delegation key, or did not answer.
        """
        until = self.now() + lifetime
        urls: dict[Grant, str] = {}
        pending: dict[str, list[Grant]] = {}
        for grant in dict.fromkeys(grants):
            location = grant.location
            if location.has_access:
                self._check_sas(str(location), location.token, until)
                urls[grant] = grant.url("")
            elif grant.identity is not None and location.account_url is not None:
                urls[grant] = grant.url(location.account_url)
            else:
                pending.setdefault(grant.conn_id, []).append(grant)
        for conn_id, of_connection in pending.items():
            urls |= await self._signed(await self.settings(conn_id), of_connection, until)
        return urls

    async def require_container(self, grant: Grant) -> None:
        """
        Check that the container of a grant exists, unless only a SAS leads to it, which may not permit that.

        :raises ValueError: the connection is not defined, or cannot be used.
        :raises BatchLinuxError: it does not exist, or the account refused the request, or did not answer.
        """
        location = grant.location
        if location.has_access:
            return
        settings = await self.settings(grant.conn_id)
        if settings.sas is not None:
            return
        _require_account(settings, location)
        endpoint = location.account_url or settings.account.endpoint
        what = f"find container {location.container!r}"
        async with self._service(settings, endpoint) as service, _translated(what, settings):
            await service.get_container_client(location.container).get_container_properties()

    async def put(self, location: StorageLocation, conn_id: str, content: bytes) -> str:
        """Write a blob, and return its URL without a SAS."""
        settings = await self.settings(conn_id)
        url = location.url(settings.account.endpoint)
        async with self._blob(settings, location) as blob, _translated(f"write {url}", settings):
            await blob.upload_blob(content, overwrite=True)
        return url

    async def check(self, conn_id: str) -> str:
        """
        Return the URL of an account after a request that shows that the connection is let in.

        Of a SAS only the expiry is checked: what it permits cannot be asked.

        :raises ValueError: the connection is not defined, or cannot be used.
        :raises BatchLinuxError: the account refused the request, or did not answer.
        """
        settings = await self.settings(conn_id)
        endpoint, now = settings.account.endpoint, self.now()
        if settings.sas is not None:
            self._check_sas(f"connection {conn_id!r}", settings.sas, now)
            return endpoint
        if settings.account.auth is not AuthKind.SHARED_KEY:
            await self._delegation_key(settings, endpoint, now + timedelta(hours=1))
            return endpoint
        async with self._service(settings, endpoint) as service, _translated(f"use {endpoint}", settings):
            async for _ in service.list_containers(results_per_page=1):
                break
        return endpoint

    async def delete(self, location: StorageLocation, conn_id: str) -> None:
        """Delete a blob, unless it does not exist any more."""
        settings = await self.settings(conn_id)
        translated = _translated(f"delete {location}", settings, ignored=_NOT_FOUND)
        async with self._blob(settings, location) as blob, translated:
            await blob.delete_blob()

    async def _signed(
        self, settings: StorageSettings, grants: list[Grant], until: datetime
    ) -> Mapping[Grant, str]:
        for grant in grants:
            _require_account(settings, grant.location)
        endpoint = settings.account.endpoint
        urls = {grant: grant.url(endpoint) for grant in grants if grant.identity is not None}
        rest = [grant for grant in grants if grant.identity is None]
        if settings.sas is not None:
            self._check_sas(f"connection {settings.conn_id!r}", settings.sas, until)
            return urls | {grant: grant.url(endpoint, settings.sas) for grant in rest}
        if not rest:
            return urls
        sdk = await _sdk()
        if settings.account.auth is AuthKind.SHARED_KEY:
            signer = {"account_key": settings.account.account_key}
            return urls | {
                grant: grant.url(endpoint, _sas(sdk, settings, grant, signer, until)) for grant in rest
            }
        for account_url in {grant.location.account_url or endpoint for grant in rest}:
            signer = {"user_delegation_key": await self._delegation_key(settings, account_url, until)}
            for grant in rest:
                if (grant.location.account_url or endpoint) == account_url:
                    urls[grant] = grant.url(endpoint, _sas(sdk, settings, grant, signer, until))
        return urls

    async def _delegation_key(self, settings: StorageSettings, account_url: str, until: datetime) -> Any:
        now = self.now()
        if until - now > _LONGEST_DELEGATION:
            days = (until - now) / timedelta(days=1)
            msg = (
                f"start_limit, time_limit and max_retries together ask for a SAS of {days:.1f} days, but "
                f"Azure gives the identity of connection {settings.conn_id!r} one of at most 7 days. Shorten "
                "them, or use a managed identity of the pool or the account's key."
            )
            raise ValueError(msg)
        translated = _translated(f"get a user delegation key of {account_url}", settings)
        async with self._service(settings, account_url) as service, translated:
            return await service.get_user_delegation_key(now - timedelta(minutes=15), until)

    @asynccontextmanager
    async def _blob(self, settings: StorageSettings, location: StorageLocation) -> AsyncIterator[Any]:
        _require_account(settings, location)
        async with self._service(settings, location.account_url or settings.account.endpoint) as service:
            yield service.get_blob_client(location.container, location.path)

    @asynccontextmanager
    async def _service(self, settings: StorageSettings, account_url: str) -> AsyncIterator[Any]:
        sdk = await _sdk("azure.storage.blob.aio")
        async with open_pipeline(settings.account, AioHttpTransport) as (credential, options):
            secret = settings.sas if settings.sas is not None else credential
            options |= {"retry_total": self.retries, "initial_backoff": 1, "increment_base": 2}
            async with sdk.BlobServiceClient(account_url, secret, **options) as service:
                yield service

    def _check_sas(self, what: str, token: str, until: datetime) -> None:
        if warning := require_valid_sas(what, token, self.now(), until):
            log.warning(warning)


async def _sdk(name: str = "azure.storage.blob") -> Any:
    # It takes long to import, and on a triggerer others wait.
    try:
        return await asyncio.to_thread(import_module, name)
    except ImportError as error:
        raise ValueError(_INSTALL) from error


def _sas(
    sdk: Any, settings: StorageSettings, grant: Grant, signer: Mapping[str, Any], until: datetime
) -> str:
    account_url = grant.location.account_url or settings.account.endpoint
    url = urlsplit(account_url)
    options = {
        "account_name": url.path.strip("/") or (url.hostname or "").partition(".")[0],
        "container_name": grant.location.container,
        "permission": _PERMISSIONS[grant.access],
        "expiry": until,
        # A SAS for https alone does not work on an emulator of storage.
        **({"protocol": "https"} if url.scheme == "https" else {}),
        **signer,
    }
    if grant.access == "read":
        token: str = sdk.generate_blob_sas(blob_name=grant.location.path, **options)
    else:
        token = sdk.generate_container_sas(**options)
    return token


def _require_account(settings: StorageSettings, location: StorageLocation) -> None:
    """Raise ValueError if a key or SAS is for another account than a URL names."""
    named = location.account_url
    is_bound = settings.sas is not None or settings.account.auth is AuthKind.SHARED_KEY
    if named is not None and is_bound and named.rstrip("/") != settings.account.endpoint.rstrip("/"):
        msg = (
            f"{location} is in another storage account than connection {settings.conn_id!r} leads to "
            f"({settings.account.endpoint}). Give the connection of its account as conn_id or "
            "storage_conn_id."
        )
        raise ValueError(msg)


@asynccontextmanager
async def _translated(
    what: str, settings: StorageSettings, *, ignored: int | None = None
) -> AsyncIterator[None]:
    try:
        yield
    except HttpResponseError as error:
        if error.status_code == ignored:
            return
        raise _refusal(error, what, settings) from None
    except AzureError as error:
        said = without_signatures(str(error.message)).partition("\n")[0]
        msg = f"Could not {what} by connection {settings.conn_id!r}: no answer from storage ({said})."
        raise BatchUnreachableError(msg) from None


def _refusal(error: HttpResponseError, what: str, settings: StorageSettings) -> BatchLinuxError:
    found = getattr(error, "error_code", None)
    code = str(getattr(found, "value", found) or "no code")
    cls = BatchAuthenticationError if error.status_code in (401, 403) else BatchRequestError
    said = without_signatures(str(error.message)).partition("\n")[0]
    msg = f"Could not {what} by connection {settings.conn_id!r}: {said} ({code}, HTTP {error.status_code})"
    return cls(f"{msg} {account_remedy(code)}".strip(), code=code, status=error.status_code)
