"""One storage account: its files, its key, and the URLs that it hands out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

from airflow_provider_batchlinux.emulator.blobs.errors import BlobError
from airflow_provider_batchlinux.emulator.blobs.files import BlobFiles
from airflow_provider_batchlinux.emulator.blobs.sas import BLOB_PERMISSIONS, Target, make_sas

ACCOUNT = "batchlinuxstorage"
_CONTAINER_NAME = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")
_INNER_LIFE = timedelta(hours=1)


def is_container_name(name: str) -> bool:
    """Tell whether a container may have a name, by the rules of Azure Storage."""
    return _CONTAINER_NAME.fullmatch(name) is not None


def derive_key(batch_key: str) -> str:
    """Return the storage account's key: it follows from the Batch account's, so that it stays with it."""
    digest = hmac.new(base64.b64decode(batch_key), b"blob storage", hashlib.sha512).digest()
    return base64.b64encode(digest).decode()


@dataclass(frozen=True)
class StorageFacts:
    """
    What clients with the account's key need.

    :param endpoint: URL with the account's name as its path.
    """

    endpoint: str
    account: str
    key: str = field(repr=False)


class BlobStorage:
    """
    A storage account.

    :param root: directory of its own, which need not exist; what it holds is taken up.
    :param now: gives the time by which tokens expire.
    """

    def __init__(self, root: Path, key: str, now: Callable[[], datetime]) -> None:
        self.account = ACCOUNT
        self.endpoint = ""
        self.key = key
        self.files = BlobFiles(root)
        self.now = now

    @property
    def facts(self) -> StorageFacts:
        """What clients with the account's key need."""
        return StorageFacts(self.endpoint, self.account, self.key)

    def open(self, endpoint: str) -> None:
        """Take notice of where it is served, with the account's name as the path."""
        self.endpoint = endpoint

    def open_container(self, name: str, permissions: str, expires_in: float) -> str:
        """
        Return the URL of a container with a token; it is made unless it is there.

        :param permissions: letters of ``racwdl``.
        :param expires_in: seconds until the token expires; negative ones make one that has.
        :raises ValueError: the name is none of a container, or the permissions are none.
        """
        if not is_container_name(name):
            msg = f"name is {name!r}: a container has 3 to 63 lower-case letters, digits and single hyphens."
            raise ValueError(msg)
        url = self.container_url(name, permissions, timedelta(seconds=expires_in))
        try:
            self.files.container(name)
        except BlobError:
            self.files.create_container(name, self.now())
        return url

    def container_url(self, name: str, permissions: str, life: timedelta = _INNER_LIFE) -> str:
        """Return the URL of a container, be it there or not, with a token."""
        token = make_sas(Target(self.account, name), self.key, permissions, self.now() + life)
        return f"{self.endpoint}/{name}?{token}"

    def with_identity(self, url: str) -> str:
        """
        Return a URL as a node with an identity that may do everything here would use it.

        :param url: of a container or blob; one of another host stays as it is.
        """
        plain = url.partition("?")[0]
        if not plain.startswith(f"{self.endpoint}/"):
            return url
        container = unquote(plain.removeprefix(f"{self.endpoint}/").partition("/")[0])
        return f"{plain}?{self.container_url(container, BLOB_PERMISSIONS).partition('?')[2]}"
