"""Places in Azure Storage, as Dags write them: URLs, object paths and Assets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Annotated, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from airflow_provider_batchlinux.core.parameters.kinds import Kind, is_nothing
from airflow_provider_batchlinux.core.secrets import HIDDEN, hide_whole

_FORMS = "abfs[s]://container/path, abfs[s]://container@account.dfs.core.windows.net/path, wasb[s]://..., or https://..."
_OBJECT_SCHEMES = ("abfs", "abfss", "wasb", "wasbs")
_CONTAINER = re.compile(r"\$(?:root|web)|[a-z0-9](?:-?[a-z0-9]){2,62}")
_ACCOUNT_HOST = re.compile(r"([a-z0-9]{3,24})((?:\.z[0-9]+)?)\.(blob|dfs)\.([a-z0-9.-]+)", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=://)[^/?#@:]*:([^/?#@]+)@")
_SIGNATURE = re.compile(r"(?:^|&)sig=", re.IGNORECASE)


@dataclass(frozen=True)
class StorageLocation:
    """
    A blob, a prefix of names or a container; or a file on another web server.

    :param account_url: the URL of the storage account, such as ``https://name.blob.core.windows.net``;
        ``None`` for that of the connection.
    :param container: the container; empty for another web server.
    :param path: the name of a blob, or a prefix; empty for the whole container.
    :param is_prefix: whether it is a prefix or a whole container, and not one blob.
    :param token: a SAS that the URL has, or the query for another web server.
    :param conn_id: the Airflow connection that an object path names; ``None`` if it names none.
    :param web_url: the URL on another web server, without its query.
    """

    container: str
    path: str = ""
    is_prefix: bool = False
    account_url: str | None = None
    token: str = field(default="", repr=False)
    conn_id: str | None = None
    web_url: str | None = None

    @property
    def has_access(self) -> bool:
        """Whether the URL can be used without a connection: it has a SAS, or needs none."""
        return self.web_url is not None or bool(self.token)

    def url(self, account_url: str, token: str = "") -> str:
        """
        Return the URL of the blob.

        :param account_url: the URL of the account, if the location does not name it.
        :param token: a SAS, if the location has none.
        """
        base = self.web_url or f"{self.container_url(account_url).partition('?')[0]}/{quote(self.path)}"
        return _with_query(base, self.token or token)

    def container_url(self, account_url: str, token: str = "") -> str:
        """Return the URL of the container; the parameters are those of :meth:`url`."""
        base = f"{(self.account_url or account_url).rstrip('/')}/{self.container}"
        return _with_query(base, self.token or token)

    def child(self, name: str) -> StorageLocation:
        """Return a blob below a prefix or container."""
        folder = self.path.strip("/")
        return replace(self, path=f"{folder}/{name}" if folder else name, is_prefix=False)

    def __str__(self) -> str:
        if self.web_url is not None:
            return self.web_url
        # As it is read again from the metadata of a job: URLs are quoted, object paths are not.
        if self.account_url:
            return f"{self.account_url}/{self.container}/{quote(self.path)}"
        return f"abfs://{self.container}/{self.path}"


def parse_location(text: str) -> StorageLocation:
    """
    Return the place that a URL names.

    :raises ValueError: if it names none. The message does not quote the query, which may be a SAS.
    """
    scheme, separator, rest = text.strip().partition("://")
    scheme = scheme.lower()
    shown = without_query(text)
    if separator and scheme in _OBJECT_SCHEMES:
        return _checked(_object_location(rest), shown)
    if separator and scheme in ("https", "http"):
        return _checked(_web_location(text.strip(), scheme, shown), shown)
    msg = f"{shown!r} is not a URL of a blob: give {_FORMS}"
    raise ValueError(msg)


def location_text(value: object) -> str | None:
    """Return the URL that text, an object path or an Asset names; ``None`` for anything else."""
    # By their attributes, because importing Airflow is left to its own shells.
    if not isinstance(value, str):
        if isinstance(uri := getattr(value, "uri", None), str):
            value = uri
        elif isinstance(getattr(value, "protocol", None), str) and hasattr(value, "joinpath"):
            value = str(value)
        else:
            return None
    return None if is_nothing(value) else value.strip()


def without_query(url: str) -> str:
    """Return a URL without its query, which may hold a SAS, and without a password before its host."""
    head, mark, _ = _PASSWORD.sub(f":{HIDDEN}@", url).partition("?")
    return f"{head}?{HIDDEN}" if mark else head


def _location_problems(name: str, text: str) -> list[str]:
    try:
        parse_location(text)
    except ValueError as error:
        return [f"{name}: {error}"]
    return []


def _hide_location(value: object, secrets: set[str]) -> object:
    text = location_text(value)
    if text is None:
        return hide_whole(value, secrets)
    found = _PASSWORD.search(text)
    secrets.update(filter(None, (text.partition("?")[2], found and found[1])))
    return without_query(text)


LOCATION = Kind(
    "a URL of a blob, an ObjectStoragePath or an Asset",
    location_text,
    _location_problems,
    hide=_hide_location,
)

Location: TypeAlias = Annotated[str, LOCATION]
"""A place in storage. Its query may be a SAS, which is neither stored nor quoted."""

GivenLocation: TypeAlias = Annotated[object, LOCATION]
"""The same in a spec object: also an object path or an Asset, which are read to text."""


def _with_query(url: str, query: str) -> str:
    return f"{url}?{query}" if query else url


def _object_location(rest: str) -> StorageLocation:
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    first, has_two, second = authority.partition("@")
    location = StorageLocation(first, path, token=query)
    if has_two and "." in second:
        return replace(location, account_url=f"https://{_blob_host(second)}")
    if has_two:
        # As Airflow's object paths have it: the connection in the place of a user.
        return replace(location, container=second, conn_id=first)
    return location


def _web_location(text: str, scheme: str, shown: str) -> StorageLocation:
    parts = urlsplit(text)
    host, query = parts.hostname or "", parts.query
    if parts.fragment:
        msg = f"{shown.partition('#')[0]!r} is followed by '#': write %23 for one in the name of a blob."
        raise ValueError(msg)
    if parts.username is not None or not host:
        msg = f"{host or 'the URL'!r} has a user name, or no host."
        raise ValueError(msg)
    if _is_loopback(host):
        # The form of storage emulators: the account is the first part of the path.
        account, _, place = unquote(parts.path).lstrip("/").partition("/")
        base = f"{scheme}://{parts.netloc}/{account}"
        container, _, path = place.partition("/")
    elif scheme == "http":
        msg = f"{shown!r} is not encrypted: use https."
        raise ValueError(msg)
    elif _ACCOUNT_HOST.fullmatch(host):
        base = f"https://{_blob_host(parts.netloc)}"
        container, _, path = unquote(parts.path).lstrip("/").partition("/")
    else:
        return StorageLocation("", token=query, web_url=text.partition("?")[0])
    return StorageLocation(container, path, account_url=base, token=query)


def _checked(location: StorageLocation, shown: str) -> StorageLocation:
    if location.web_url is not None:
        return location
    if not _CONTAINER.fullmatch(location.container):
        msg = (
            f"{shown!r} names no container: {location.container!r} is not 3 to 63 small letters, digits and "
            "single hyphens."
        )
        raise ValueError(msg)
    if location.token and not _SIGNATURE.search(location.token):
        msg = f"{shown!r} has a query that is not a SAS: give the URL without it."
        raise ValueError(msg)
    path = location.path.removesuffix("*")
    if "*" in path:
        msg = f"{shown!r} has a wildcard inside: only one '*' at the end is known, which selects a prefix."
        raise ValueError(msg)
    is_prefix = path != location.path or not path or path.endswith("/")
    return replace(location, path=path, is_prefix=is_prefix)


def _blob_host(host: str) -> str:
    match = _ACCOUNT_HOST.fullmatch(host)
    return f"{match[1]}{match[2]}.blob.{match[4]}".lower() if match else host


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
