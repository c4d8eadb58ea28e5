"""From a connection to Azure Storage, as Airflow's own hooks have it, to a storage account and its secret."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_batchlinux.client.storage.access import StorageAccess, StorageSettings
    from airflow_provider_batchlinux.client.transport.account import AccountSettings

DEFAULT_STORAGE_CONN_ID = "wasb_default"
"""The default of Airflow's own ``WasbHook``."""

_PREFIXES = ("", "extra__wasb__", "extra__adls__", "extra__azure_data_lake__")
_LOOPBACK = ("127.0.0.1", "localhost")


def storage_access() -> StorageAccess:
    """Return the storage accounts that the connections of Airflow lead to."""
    # It brings in azure, for which parsing a Dag file must not wait.
    from airflow_provider_batchlinux.client.storage.access import StorageAccess

    return StorageAccess(storage_settings)


async def storage_settings(
    conn_id: str, read: Callable[[str], Awaitable[Connection]] | None = None
) -> StorageSettings:
    """
    Read a connection of type ``wasb``, ``adls`` or ``azure_data_lake``, without blocking the event loop.

    :param read: returns a connection; ``None`` asks Airflow.
    :raises ValueError: if it is not defined, or cannot be used. No secret is repeated.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    from airflow_provider_batchlinux.hooks._async_connection import async_connection, async_extra

    try:
        with told_if_undefined():
            connection = await (read or async_connection)(conn_id)
    except AirflowNotFoundException:
        msg = (
            f"Connection {conn_id!r} to Azure Storage is not defined. Add it in Airflow under Admin, "
            "Connections, with type wasb or adls; or name another one as storage_conn_id."
        )
        raise ValueError(msg) from None
    extra = await async_extra(connection)
    try:
        return read_storage_settings(
            conn_id, login=connection.login, password=connection.password, host=connection.host, extra=extra
        )
    except ValueError as error:
        msg = f"Connection {conn_id!r} to Azure Storage cannot be used: {error}"
        raise ValueError(msg) from None


@contextmanager
def told_if_undefined() -> Iterator[None]:
    """Raise AirflowNotFoundException for a connection that is not defined, also in Airflow 3.1."""
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    try:
        yield
    except ImportError as error:
        # Airflow 3.1 asks its API server, which it cannot do outside of a task.
        if error.name != "airflow.sdk.execution_time.task_runner":
            raise
        msg = "No secrets backend has the connection."
        raise AirflowNotFoundException(msg) from None


def read_storage_settings(
    conn_id: str, *, login: str | None, password: str | None, host: str | None, extra: Mapping[str, Any]
) -> StorageSettings:
    """
    Return the storage account, and how to authenticate there, in the order of Airflow's ``WasbHook``.

    :param login: the account's name, or the application of Entra.
    :param password: the account's key, or the application's secret.
    :param host: the account's URL or host.
    :raises ValueError: if something is missing.
    """
    from airflow_provider_batchlinux.client.storage.access import StorageSettings
    from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind

    login, password, host = ((text or "").strip() or None for text in (login, password, host))
    if text := _field(extra, "connection_string"):
        parts = _connection_string(text)
        endpoint, name = parts["endpoint"], parts["name"]
        key, sas, tenant = parts.get("key"), parts.get("sas"), None
    else:
        tenant = _field(extra, "tenant_id") or _field(extra, "tenant")
        given = _field(extra, "sas_token")
        in_url, _, in_query = given.partition("?") if given and "://" in given else ("", "", given)
        account = _field(extra, "account_url") or in_url or host or _field(extra, "account_name")
        endpoint = _account_url(account or ("" if tenant else login or ""))
        key = None if tenant else _field(extra, "shared_access_key") or _field(extra, "account_key")
        sas = None if tenant or key else (in_query or "").lstrip("?") or None
        key = key or (None if tenant or sas else password)
        name = urlsplit(endpoint).path.strip("/") or (urlsplit(endpoint).hostname or "").partition(".")[0]
    configured = extra.get("client_secret_auth_config") or {}
    auth = AuthKind.SHARED_KEY if key or sas else AuthKind.CLIENT_SECRET if tenant else AuthKind.DEFAULT
    account_settings = AccountSettings(
        endpoint=endpoint,
        account_name=name,
        auth=auth,
        account_key=key,
        tenant_id=tenant or _field(extra, "workload_identity_tenant_id"),
        client_id=login if tenant else _field(extra, "managed_identity_client_id"),
        client_secret=password if tenant else None,
        ca_file=_file_of(extra.get("connection_verify") or configured.get("connection_verify")),
        authority_host=configured.get("authority"),
    )
    _require_usable(account_settings, has_secret=bool(key or sas))
    return StorageSettings(conn_id, account_settings, sas)


def _require_usable(settings: AccountSettings, *, has_secret: bool) -> None:
    url = urlsplit(settings.endpoint)
    if not url.hostname:
        msg = "it names no account: give its URL, such as https://name.blob.core.windows.net, as host."
        raise ValueError(msg)
    if url.scheme == "http" and (url.hostname not in _LOOPBACK or not has_secret):
        msg = f"{settings.endpoint} is not encrypted: use https."
        raise ValueError(msg)
    if settings.tenant_id and settings.auth.value == "client_secret":
        missing = [name for name in ("client_id", "client_secret") if not getattr(settings, name)]
        if missing:
            where = {"client_id": "the application as login", "client_secret": "its secret as password"}
            msg = f"with tenant_id it needs {' and '.join(where[name] for name in missing)}."
            raise ValueError(msg)


def _connection_string(text: str) -> dict[str, str]:
    parts = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    name = parts.get("AccountName", "")
    suffix = parts.get("EndpointSuffix", "core.windows.net")
    url = parts.get("BlobEndpoint") or (f"https://{name}.blob.{suffix}" if name else "")
    endpoint = _account_url(url)
    if not name:
        host = urlsplit(endpoint)
        name = host.path.strip("/") or (host.hostname or "").partition(".")[0]
    found = {"endpoint": endpoint, "name": name}
    for field, key in (("AccountKey", "key"), ("SharedAccessSignature", "sas")):
        if value := parts.get(field):
            found[key] = value.lstrip("?")
    if found.keys() & {"key", "sas"}:
        return found
    msg = "its connection_string has neither AccountKey nor SharedAccessSignature."
    raise ValueError(msg)


def _account_url(account: str) -> str:
    """Return the URL of an account's blobs, given its URL, host or name."""
    if not account:
        return ""
    if "://" not in account:
        account = f"https://{account}" if "." in account else f"https://{account}.blob.core.windows.net"
    return account.rstrip("/").replace(".dfs.", ".blob.", 1)


def _field(extra: Mapping[str, Any], name: str) -> str | None:
    found = (extra.get(prefix + name) for prefix in _PREFIXES)
    return next((str(value).strip() for value in found if value not in (None, "")), None)


def _file_of(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
