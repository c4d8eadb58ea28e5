"""Requests to the blob store as operations receive them, and replies as they return them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from airflow_provider_batchlinux.emulator.blobs.access import Grant
from airflow_provider_batchlinux.emulator.blobs.errors import BlobCode, BlobError
from airflow_provider_batchlinux.emulator.blobs.files import Blob, BlobFiles, Container
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.protocol.instants import format_http_date

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
_STATE = {"x-ms-lease-status": "unlocked", "x-ms-lease-state": "available", "x-ms-server-encrypted": "true"}
_METADATA = "x-ms-meta-"


@dataclass(frozen=True)
class BlobCall:
    """
    One authenticated request.

    :param query: query parameters by lower-case name.
    :param headers: header fields by lower-case name.
    :param grant: what it is allowed to do.
    :param chunks: yields the body in chunks.
    """

    storage: BlobStorage
    method: str
    container: str
    blob: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    now: datetime
    grant: Grant
    chunks: AsyncIterator[bytes]

    @property
    def files(self) -> BlobFiles:
        """The containers and blobs."""
        return self.storage.files

    async def body(self, limit: int) -> bytes:
        """
        Return the whole body.

        :raises BlobError: it is longer than ``limit`` bytes.
        """
        parts = bytearray()
        async for chunk in self.chunks:
            parts += chunk
            if len(parts) > limit:
                raise BlobError(BlobCode.INVALID_XML_DOCUMENT)
        return bytes(parts)


@dataclass(frozen=True)
class BlobReply:
    """
    The reply of an operation.

    :param content: file, offset and length of the content.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content: tuple[Path, int, int] | None = None


def version_headers(record: Blob | Container) -> dict[str, str]:
    """Return the headers with the version of a blob or container."""
    return {"etag": f'"{record.etag}"', "last-modified": format_http_date(record.modified)}


def blob_headers(blob: Blob) -> dict[str, str]:
    """Return the headers of a blob's download, without its length."""
    return {
        **version_headers(blob),
        **blob.headers,
        **{f"{_METADATA}{name}": value for name, value in blob.metadata.items()},
        **_STATE,
        "x-ms-creation-time": format_http_date(blob.created),
        "x-ms-blob-type": "BlockBlob",
        "accept-ranges": "bytes",
    }


def read_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata in the headers of a request."""
    named = {name: value for name, value in headers.items() if name.startswith(_METADATA)}
    return {name.removeprefix(_METADATA): value for name, value in named.items()}


def read_range(text: str | None, size: int) -> tuple[int, int] | None:
    """
    Return offset and length of a byte range.

    :return: ``None`` without a range, or with an invalid one, for which Azure Storage returns everything.
    :raises BlobError: the range starts after the end.
    """
    match = _RANGE.fullmatch(text or "")
    if match is None:
        return None
    first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
    if first >= size or last < first:
        raise BlobError(BlobCode.INVALID_RANGE)
    return first, last - first + 1


def check_conditions(call: BlobCall, blob: Blob | None) -> None:
    """
    Raise an error if the ETag conditions of a request are not met.

    :param blob: the blob; ``None`` if it does not exist.
    :raises BlobError: 412; for reads also 304; 409 if the request should only create a blob.
    """
    etag = None if blob is None else blob.etag
    wanted, unwanted = (_etags(call.headers.get(name)) for name in ("if-match", "if-none-match"))
    if wanted and not _is_among(etag, wanted):
        raise BlobError(BlobCode.CONDITION_NOT_MET)
    if not unwanted or not _is_among(etag, unwanted):
        return
    if call.method in ("GET", "HEAD"):
        raise BlobError(BlobCode.CONDITION_NOT_MET, status=304)
    raise BlobError(BlobCode.BLOB_ALREADY_EXISTS if "*" in unwanted else BlobCode.CONDITION_NOT_MET)


def _etags(text: str | None) -> list[str]:
    return [] if text is None else [part.strip().strip('"') for part in text.split(",")]


def _is_among(etag: str | None, etags: list[str]) -> bool:
    return etag is not None and ("*" in etags or etag in etags)
