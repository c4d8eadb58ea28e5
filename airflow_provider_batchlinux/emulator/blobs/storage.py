"""The storage account: its files, its key and its URLs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from ssl import SSLContext
from urllib.parse import quote, unquote

from airflow_provider_batchlinux.emulator.blobs.errors import BlobError
from airflow_provider_batchlinux.emulator.blobs.files import BlobFiles
from airflow_provider_batchlinux.emulator.blobs.sas import BLOB_PERMISSIONS, Target, make_sas

ACCOUNT = "batchlinuxstorage"
_CONTAINER_NAME = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")
_INNER_LIFE = timedelta(hours=1)


def is_container_name(name: str) -> bool:
    """Return whether a name is a valid container name."""
    return _CONTAINER_NAME.fullmatch(name) is not None


def derive_key(batch_key: str) -> str:
    """Return the key of the storage account, derived from that of the Batch account, so that both persist."""
    digest = hmac.new(base64.b64decode(batch_key), b"blob storage", hashlib.sha512).digest()
    return base64.b64encode(digest).decode()


@dataclass(frozen=True)
class StorageFacts:
    """
    How clients connect.

    :param endpoint: URL with the account name as its path.
    :param key: the account's key.
    :param secure_endpoint: the same over HTTPS, for tokens of Entra; empty if only plain HTTP is served.
    """

    endpoint: str
    account: str
    key: str = field(repr=False)
    secure_endpoint: str = ""


class BlobStorage:
    """
    A storage account.

    :param root: its directory, which need not exist. Existing containers are loaded.
    :param now: returns the time for the expiry of tokens.
    """

    def __init__(self, root: Path, key: str, now: Callable[[], datetime]) -> None:
        self.account = ACCOUNT
        # Set once it is served.
        self.endpoint = ""
        self.secure_endpoint = ""
        self.trust: SSLContext | bool = True
        """What nodes trust over HTTPS: ``True`` is what every program trusts."""

        self.key = key
        self.files = BlobFiles(root)
        self.now = now

    @property
    def facts(self) -> StorageFacts:
        """How clients connect."""
        return StorageFacts(self.endpoint, self.account, self.key, self.secure_endpoint)

    def open_container(self, name: str, permissions: str, expires_in: float) -> str:
        """
        Create a container if it does not exist, and return its URL with a SAS token.

        :param permissions: letters of ``racwdl``.
        :param expires_in: seconds until the token expires; a negative number returns an expired token.
        :raises ValueError: the name or the permissions are invalid.
        """
        if not is_container_name(name):
            msg = f"name must be 3 to 63 lower-case letters, digits and single hyphens, not {name!r}."
            raise ValueError(msg)
        url = self.container_url(name, permissions, timedelta(seconds=expires_in))
        try:
            self.files.container(name)
        except BlobError:
            self.files.create_container(name, self.now())
        return url

    def container_url(self, name: str, permissions: str, life: timedelta = _INNER_LIFE) -> str:
        """Return the URL of a container, which need not exist, with a SAS token."""
        token = make_sas(Target(self.account, name), self.key, permissions, self.now() + life)
        return f"{self.endpoint}/{name}?{token}"

    def blob_url(self, container: str, name: str, permissions: str, life: timedelta) -> str:
        """Return the URL of a blob, which need not exist, with a SAS token for it alone."""
        token = make_sas(Target(self.account, container, name), self.key, permissions, self.now() + life)
        return f"{self.secure_endpoint or self.endpoint}/{container}/{quote(name)}?{token}"

    def with_identity(self, url: str) -> str:
        """
        Return a URL with a SAS token in place of the managed identity of a node, with all permissions.

        :param url: URL of a container or blob. A URL of another host is returned unchanged.
        """
        plain = url.partition("?")[0]
        own = [f"{endpoint}/" for endpoint in (self.endpoint, self.secure_endpoint) if endpoint]
        prefix = next((prefix for prefix in own if plain.startswith(prefix)), None)
        if prefix is None:
            return url
        container = unquote(plain.removeprefix(prefix).partition("/")[0])
        return f"{plain}?{self.container_url(container, BLOB_PERMISSIONS).partition('?')[2]}"
