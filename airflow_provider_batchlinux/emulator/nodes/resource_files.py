"""Downloads the resource files of tasks."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import aiohttp

from airflow_provider_batchlinux.emulator.blobs.failures import Failure, StorageFailed, without_signature
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.nodes.logs import blob_url
from airflow_provider_batchlinux.emulator.protocol.local_files import LONGEST_PATH, open_for_writing

_TIMEOUT = aiohttp.ClientTimeout(total=300)
_DEFAULT_MODE = "0770"
_DENIED = frozenset({401, 403, 409})
_READ_AND_LIST = "rl"
_TOO_LONG = os.strerror(errno.ENAMETOOLONG)


async def fetch_resource_files(
    files: Sequence[Mapping[str, Any]], directory: Path, storage: BlobStorage
) -> Mapping[str, Any] | None:
    """
    Download files into a directory, and return the ``failureInfo`` of the first failure, if any.

    :param storage: the blob store of the account, which also accepts the managed identity of nodes.
    """
    if not files:
        return None
    connector = aiohttp.TCPConnector(ssl=storage.trust)
    async with aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector) as session:
        try:
            for file in files:
                await _Download(session, directory, storage, file).run()
        except StorageFailed as error:
            return error.info
    return None


class _Download:
    """The download of one resource file, which can be a whole container."""

    def __init__(
        self, session: aiohttp.ClientSession, directory: Path, storage: BlobStorage, file: Mapping[str, Any]
    ) -> None:
        self._session = session
        self._directory = directory
        self._storage = storage
        self._file = file

    async def run(self) -> None:
        """
        Download the file or the files of the container.

        :raises StorageFailed: a download fails.
        """
        path = self._file.get("filePath", "")
        if "httpUrl" in self._file:
            await self._fetch(self._as_allowed(self._file["httpUrl"]), path)
            return
        container = self._container_url()
        async for name in self._names(container):
            await self._fetch(blob_url(container, name), str(PurePosixPath(path) / name.lstrip("/")))

    def _container_url(self) -> str:
        name = self._file.get("autoStorageContainerName")
        if name is not None:
            return self._storage.container_url(name, _READ_AND_LIST)
        return self._as_allowed(self._file["storageContainerUrl"])

    def _as_allowed(self, url: str) -> str:
        return self._storage.with_identity(url) if "identityReference" in self._file else url

    async def _names(self, container: str) -> AsyncIterator[str]:
        query = {"restype": "container", "comp": "list", "prefix": self._file.get("blobPrefix", "")}
        marker = ""
        while True:
            joint = "&" if "?" in container else "?"
            url = f"{container}{joint}{urlencode({**query, 'marker': marker})}"
            async with self._get(url, container, Failure.RESOURCE_CONTAINER_ACCESS_DENIED) as response:
                listing = _parse(await response.read(), container)
            for name in listing.iterfind("Blobs/Blob/Name"):
                # Directories of hierarchical accounts are listed as blobs, but are not files.
                if name.text and not name.text.endswith("/"):
                    yield name.text
            marker = listing.findtext("NextMarker") or ""
            if not marker:
                return

    async def _fetch(self, url: str, path: str) -> None:
        details = {"BlobSource": without_signature(url), "FilePath": path}
        target = _target(self._directory, path, details)
        async with self._get(url, url, Failure.BLOB_ACCESS_DENIED, path) as response:
            _make_parents(target, details)
            try:
                with await asyncio.to_thread(open_for_writing, target) as sink:
                    os.fchmod(sink.fileno(), int(self._file.get("fileMode", _DEFAULT_MODE), 8))
                    async for chunk in response.content.iter_chunked(1 << 16):
                        sink.write(chunk)
            except OSError as error:
                raise StorageFailed(Failure.RESOURCE_FILE_WRITE_FAILED, details) from error

    @asynccontextmanager
    async def _get(
        self, url: str, source: str, denied: Failure, path: str = ""
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        details = {"BlobSource": without_signature(source), **({"FilePath": path} if path else {})}
        try:
            async with self._session.get(url) as response:
                if response.status >= 400:
                    details["Message"] = f"HTTP status {response.status}"
                    raise StorageFailed(_failure(response.status, denied), details)
                yield response
        except asyncio.TimeoutError as error:
            raise StorageFailed(Failure.BLOB_DOWNLOAD_TIMED_OUT, details) from error
        except (aiohttp.ClientError, ValueError) as error:
            # The message of the error may contain the URL with its signature.
            details["Message"] = type(error).__name__
            raise StorageFailed(Failure.BLOB_DOWNLOAD_MISC_ERROR, details) from None


def _failure(status: int, denied: Failure) -> Failure:
    """Return the failure for a status. Assumed: a missing container is reported as a missing blob."""
    if status in _DENIED:
        return denied
    return Failure.BLOB_NOT_FOUND if status == 404 else Failure.BLOB_DOWNLOAD_MISC_ERROR


def _parse(listing: bytes, container: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(listing)
    except ElementTree.ParseError:
        details = {
            "BlobSource": without_signature(container),
            "Message": "The response is not a list of blobs.",
        }
        raise StorageFailed(Failure.BLOB_DOWNLOAD_MISC_ERROR, details) from None


def _make_parents(target: Path, details: Mapping[str, str]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(Failure.RESOURCE_DIRECTORY_CREATE_FAILED, details) from error


def _target(directory: Path, path: str, details: Mapping[str, str]) -> Path:
    """Return the path of a file. A path outside the working directory is reported as not writable."""
    message = {**details, "Message": "The path is outside the task's working directory."}
    if len(path) >= LONGEST_PATH:
        # The time to resolve it grows with the square of its length.
        raise StorageFailed(Failure.RESOURCE_FILE_WRITE_FAILED, {**details, "Message": _TOO_LONG})
    try:
        target = (directory / path).resolve()
    except (OSError, RuntimeError, ValueError):
        raise StorageFailed(Failure.RESOURCE_FILE_WRITE_FAILED, message) from None
    if target == directory.resolve() or not target.is_relative_to(directory.resolve()):
        raise StorageFailed(Failure.RESOURCE_FILE_WRITE_FAILED, message)
    return target
