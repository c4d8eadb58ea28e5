"""The applications of the account and their packages, whose content is in the blob store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from airflow_provider_batchlinux.emulator.blobs.errors import BlobError
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused
from airflow_provider_batchlinux.emulator.state.records import Application, Package
from airflow_provider_batchlinux.emulator.state.store import Store

URL_LIFE = timedelta(hours=4)
"""Recorded: how long the URL of a package can be used."""
_URL_PERMISSIONS = "rw"
_LONGEST_NAME = 63 - len("app--") - 32
"""What is left of the name of a container for that of the application."""


class Applications:
    """
    Create, change and delete applications and packages.

    :param storage: the auto-storage account.
    """

    def __init__(self, store: Store, storage: BlobStorage) -> None:
        self._store = store
        self._storage = storage

    def find(self, name: str) -> Application:
        """
        Return an application.

        :raises ServiceError: it does not exist.
        """
        application: Application | None = self._store.applications.get(name)
        if application is None:
            raise ServiceError(Code.APPLICATION_NOT_FOUND)
        return application

    def find_package(self, application: Application, name: str) -> Package:
        """
        Return a package.

        :raises ServiceError: it does not exist.
        """
        package: Package | None = self._store.packages(application.id).get(name)
        if package is None:
            raise ServiceError(Code.APPLICATION_PACKAGE_NOT_FOUND)
        return package

    def put(self, name: str, changes: Mapping[str, Any], now: datetime) -> Application:
        """
        Create an application, or change some of its properties.

        :param changes: fields of its record.
        :raises ServiceError: the default version does not exist.
        """
        application: Application | None = self._store.applications.get(name)
        version = self._store.next_version(now)
        if application is None:
            container = f"app-{_container_part(name)}-{uuid4().hex}"
            application = Application(name, version, container)
        changed = replace(application, version=version, **changes)
        if changed.default_version is not None:
            self.find_package(changed, changed.default_version)
        return self._store.applications.put(name, changed)

    def delete(self, application: Application) -> None:
        """
        Delete an application.

        :raises ServiceError: it has packages. The code is assumed.
        """
        if len(self._store.packages(application.id)):
            raise ServiceError(Code.APPLICATION_CONTAINS_PACKAGES)
        self._store.applications.pop(application.id)

    def put_package(self, application: Application, name: str, now: datetime) -> Package:
        """
        Create a package, or replace one, which is pending until it is activated.

        :raises ServiceError: it exists, and the application does not allow updates. The code is assumed.
        """
        if self._store.packages(application.id).get(name) is not None and not application.allows_updates:
            raise ServiceError(Code.APPLICATION_PACKAGE_EXISTS)
        # The container is created with its first package.
        self._storage.open_container(application.container, _URL_PERMISSIONS, 0)
        return self._store.put_package(Package(application.id, name, self._store.next_version(now)))

    def activate(self, application: Application, package: Package, format_: str, now: datetime) -> Package:
        """
        Make a package available to nodes.

        :param format_: the format of its blob.
        :raises ServiceError: its blob has not been uploaded, or its format is not zip. The codes are assumed.
        """
        if format_.lower() != "zip":
            raise refused(format_, of="format", reason="The only format of application packages is zip.")
        try:
            self._storage.files.blob(application.container, package.name)
        except BlobError:
            raise ServiceError(Code.APPLICATION_PACKAGE_BLOB_NOT_FOUND) from None
        return self._store.put_package(replace(package, activated=now, version=self._store.next_version(now)))

    def delete_package(self, application: Application, package: Package) -> None:
        """Delete a package with its blob. Recorded: also if it is the default version."""
        self._store.packages(application.id).pop(package.name)
        if (application.default_version or "").lower() == package.name.lower():
            self._store.applications.put(application.id, replace(application, default_version=None))
        try:
            self._storage.files.delete_blob(application.container, package.name)
        except BlobError:
            # Its owner has deleted it, or has never uploaded it.
            return

    def url(self, application: Application, package: Package) -> str:
        """Return the URL of the blob of a package, with a SAS for its upload."""
        return self._storage.blob_url(application.container, package.name, _URL_PERMISSIONS, URL_LIFE)


def _container_part(name: str) -> str:
    words = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())
    return "-".join(filter(None, words[:_LONGEST_NAME].split("-"))) or "x"
