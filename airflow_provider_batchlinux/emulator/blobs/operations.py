"""Operations on containers and blobs, one function each."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

from airflow_provider_batchlinux.emulator.blobs.delegation import DelegationKey, read_key_times
from airflow_provider_batchlinux.emulator.blobs.errors import BlobCode, BlobError, not_emulated
from airflow_provider_batchlinux.emulator.blobs.files import Blob, Incoming
from airflow_provider_batchlinux.emulator.blobs.sas import VERSION
from airflow_provider_batchlinux.emulator.blobs.wire import (
    BlobCall,
    BlobReply,
    blob_headers,
    check_conditions,
    read_metadata,
    read_range,
    version_headers,
)

_CONTENT_HEADERS = (
    "content-type",
    "content-encoding",
    "content-language",
    "content-disposition",
    "cache-control",
    "content-md5",
)
_OVERRIDES = {
    "rscc": "cache-control",
    "rscd": "content-disposition",
    "rsce": "content-encoding",
    "rscl": "content-language",
    "rsct": "content-type",
}
_DEFAULT_TYPE = "application/octet-stream"
_LONGEST_KEY_INFO = 1 << 16
_LONGEST_BLOCK_LIST = 10 << 20
_BLOCK_KINDS = frozenset({"Latest", "Uncommitted", "Committed"})


async def get_account_information(_call: BlobCall) -> BlobReply:
    """Answer GET and HEAD of the kind of the account."""
    return BlobReply(200, {"x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2"})


async def get_delegation_key(call: BlobCall) -> BlobReply:
    """Answer POST for a user delegation key."""
    start, expiry = read_key_times(await call.body(_LONGEST_KEY_INFO), call.now)
    version = call.headers.get("x-ms-version", VERSION)
    identity = call.grant.identity
    if identity is None:
        raise BlobError(BlobCode.AUTHORIZATION_FAILURE)
    key = DelegationKey(identity.object_id, identity.tenant_id, start, expiry, "b", version)
    return BlobReply(200, {"content-type": "application/xml"}, key.document(call.storage.key))


async def create_container(call: BlobCall) -> BlobReply:
    """Answer PUT of a container."""
    return BlobReply(201, version_headers(call.files.create_container(call.container, call.now)))


async def delete_container(call: BlobCall) -> BlobReply:
    """Answer DELETE of a container."""
    call.files.delete_container(call.container)
    return BlobReply(202)


async def get_container(call: BlobCall) -> BlobReply:
    """Answer GET and HEAD of a container."""
    return BlobReply(200, version_headers(call.files.container(call.container)))


async def put_blob(call: BlobCall) -> BlobReply:
    """Answer PUT of a blob."""
    _check_kind(call)
    _check_target(call)
    with call.files.incoming() as content:
        md5 = await _receive(call, content)
        _check_target(call)
        headers = {**_content_headers(call), "content-md5": md5}
        blob = call.files.put_blob(
            call.container, call.blob, content, headers, read_metadata(call.headers), call.now
        )
    return _stored(version_headers(blob), md5)


async def put_block(call: BlobCall) -> BlobReply:
    """Answer PUT of a block."""
    block_id = call.query.get("blockid")
    if not block_id:
        raise BlobError(BlobCode.INVALID_QUERY_PARAMETER_VALUE, QueryParameterName="blockid")
    call.files.container(call.container)
    with call.files.incoming() as content:
        md5 = await _receive(call, content)
        call.files.put_block(call.container, call.blob, block_id, content)
    return _stored({}, md5)


async def put_block_list(call: BlobCall) -> BlobReply:
    """Answer PUT of a block list, which creates the blob from its blocks."""
    block_ids = _read_block_list(await call.body(_LONGEST_BLOCK_LIST))
    _check_target(call)
    with call.files.incoming() as content:
        call.files.join_blocks(call.container, call.blob, block_ids, content)
        content.finish()
        # Azure Storage uses the MD5 that the client sends, and does not compute one.
        headers = _content_headers(call)
        blob = call.files.put_blob(
            call.container, call.blob, content, headers, read_metadata(call.headers), call.now
        )
    return _stored(version_headers(blob), None)


async def get_blob(call: BlobCall) -> BlobReply:
    """Answer GET and HEAD of a blob."""
    blob = call.files.blob(call.container, call.blob)
    check_conditions(call, blob)
    overrides = {name: call.query[asked] for asked, name in _OVERRIDES.items() if asked in call.query}
    headers = {**blob_headers(blob), **overrides}
    path = call.files.path(call.container, blob)
    wanted = call.headers.get("x-ms-range") or call.headers.get("range")
    stretch = None if call.method == "HEAD" else read_range(wanted, blob.size)
    if stretch is None:
        return BlobReply(200, headers, content=(path, 0, blob.size))
    first, length = stretch
    # This is the MD5 of the whole blob, not of the range, so it has another name.
    if "content-md5" in headers:
        headers["x-ms-blob-content-md5"] = headers.pop("content-md5")
    headers["content-range"] = f"bytes {first}-{first + length - 1}/{blob.size}"
    return BlobReply(206, headers, content=(path, first, length))


async def delete_blob(call: BlobCall) -> BlobReply:
    """Answer DELETE of a blob; there is no soft delete."""
    check_conditions(call, call.files.blob(call.container, call.blob))
    call.files.delete_blob(call.container, call.blob)
    return BlobReply(202, {"x-ms-delete-type-permanent": "true"})


def _check_kind(call: BlobCall) -> None:
    if "x-ms-copy-source" in call.headers:
        raise not_emulated(what="copies of blobs")
    kind = call.headers.get("x-ms-blob-type")
    if kind is None:
        raise BlobError(BlobCode.MISSING_REQUIRED_HEADER, HeaderName="x-ms-blob-type")
    if kind.lower() in ("appendblob", "pageblob"):
        raise not_emulated(what="append and page blobs")
    if kind.lower() != "blockblob":
        raise BlobError(BlobCode.INVALID_HEADER_VALUE, HeaderName="x-ms-blob-type")


def _check_target(call: BlobCall) -> None:
    """Raise an error if the SAS does not allow an overwrite, or the conditions of the request are not met."""
    blob: Blob | None = call.files.container(call.container).blobs.get(call.blob)
    check_conditions(call, blob)
    if blob is not None and call.grant.permissions is not None and "w" not in call.grant.permissions:
        raise BlobError(BlobCode.UNAUTHORIZED_BLOB_OVERWRITE)


async def _receive(call: BlobCall, content: Incoming) -> str:
    async for chunk in call.chunks:
        content.write(chunk)
    md5 = content.finish()
    # For a blob, x-ms-blob-content-md5 and Content-MD5 are checked; for a block only Content-MD5.
    names = ["content-md5"] if call.query.get("comp") == "block" else ["content-md5", "x-ms-blob-content-md5"]
    if any(call.headers.get(name, md5) != md5 for name in names):
        raise BlobError(BlobCode.MD5_MISMATCH)
    return md5


def _stored(headers: Mapping[str, str], md5: str | None) -> BlobReply:
    checked = {} if md5 is None else {"content-md5": md5}
    return BlobReply(201, {**headers, **checked, "x-ms-request-server-encrypted": "true"})


def _content_headers(call: BlobCall) -> dict[str, str]:
    """Return the headers of a blob's download. Those with ``x-ms-blob-`` have precedence."""
    is_list = call.query.get("comp") == "blocklist"
    found = {"content-type": _DEFAULT_TYPE}
    for name in _CONTENT_HEADERS:
        plain = None if is_list else call.headers.get(name)
        value = call.headers.get(f"x-ms-blob-{name}") or plain
        if value:
            found[name] = value
    return found


def _read_block_list(body: bytes) -> list[str]:
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise BlobError(BlobCode.INVALID_XML_DOCUMENT) from None
    if root.tag != "BlockList" or any(block.tag not in _BLOCK_KINDS for block in root):
        raise BlobError(BlobCode.INVALID_XML_DOCUMENT)
    return [(block.text or "").strip() for block in root]
