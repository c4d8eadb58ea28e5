"""Lists of blobs, with pages and virtual directories."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from urllib.parse import quote
from xml.etree import ElementTree
from xml.etree.ElementTree import SubElement

from airflow_provider_batchlinux.emulator.blobs.errors import BlobCode, BlobError
from airflow_provider_batchlinux.emulator.blobs.files import Blob
from airflow_provider_batchlinux.emulator.blobs.wire import BlobCall, BlobReply
from airflow_provider_batchlinux.emulator.protocol.instants import format_http_date

# Documented: a page has at most 5,000 blobs.
_LARGEST_PAGE = 5000
_ECHOED = {
    "Prefix": "prefix",
    "Marker": "marker",
    "MaxResults": "maxresults",
    "Delimiter": "delimiter",
}


async def list_blobs(call: BlobCall) -> BlobReply:
    """Answer GET of a container with ``comp=list``."""
    blobs = call.files.container(call.container).blobs
    found = entries(sorted(blobs), call.query.get("prefix", ""), call.query.get("delimiter", ""))
    page, following = _page(call, found)
    root = _results(call, {"ContainerName": call.container})
    listed = SubElement(root, "Blobs")
    has_metadata = "metadata" in call.query.get("include", "").split(",")
    for name, is_prefix in page:
        if is_prefix:
            _add_text(SubElement(listed, "BlobPrefix"), "Name", name)
        else:
            _add_blob(listed, blobs[name], has_metadata=has_metadata)
    return _listing(root, following)


async def list_containers(call: BlobCall) -> BlobReply:
    """Answer GET of the account with ``comp=list``."""
    containers = call.files.containers
    page, following = _page(call, entries(sorted(containers), call.query.get("prefix", ""), ""))
    root = _results(call, {})
    listed = SubElement(root, "Containers")
    for name, _ in page:
        element, record = SubElement(listed, "Container"), containers[name]
        _add_text(element, "Name", name)
        _add_properties(
            element,
            {
                "Last-Modified": format_http_date(record.modified),
                "Etag": record.etag,
                "LeaseStatus": "unlocked",
                "LeaseState": "available",
            },
        )
    return _listing(root, following)


def _page(call: BlobCall, found: Iterable[tuple[str, bool]]) -> tuple[list[tuple[str, bool]], str | None]:
    """Return the entries of the requested page, and the name that the next page begins with."""
    size, start = _page_size(call), _read_marker(call.query.get("marker"))
    page = list(islice((entry for entry in found if entry[0] >= start), size + 1))
    return page[:size], page[size][0] if len(page) > size else None


def _results(call: BlobCall, attributes: Mapping[str, str]) -> ElementTree.Element:
    root = ElementTree.Element(
        "EnumerationResults", {"ServiceEndpoint": f"{call.storage.endpoint}/", **attributes}
    )
    for tag, parameter in _ECHOED.items():
        if parameter in call.query:
            _add_text(root, tag, call.query[parameter])
    return root


def _listing(root: ElementTree.Element, following: str | None) -> BlobReply:
    SubElement(root, "NextMarker").text = None if following is None else _marker(following)
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return BlobReply(200, {"content-type": "application/xml"}, body)


def entries(names: Iterable[str], prefix: str, delimiter: str) -> Iterator[tuple[str, bool]]:
    """
    Yield the entries of a list: blobs, and virtual directories in place of their blobs.

    :param names: all names, sorted.
    :param delimiter: end of the name of a virtual directory; empty for no virtual directories.
    :return: names, each with whether it is the name of a virtual directory.
    """
    last = None
    for name in names:
        if not name.startswith(prefix):
            continue
        head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
        if not found:
            yield name, False
        elif prefix + head + found != last:
            last = prefix + head + found
            yield last, True


def _add_blob(parent: ElementTree.Element, blob: Blob, *, has_metadata: bool) -> None:
    element = SubElement(parent, "Blob")
    _add_text(element, "Name", blob.name)
    properties = {
        "Creation-Time": format_http_date(blob.created),
        "Last-Modified": format_http_date(blob.modified),
        "Etag": blob.etag,
        "Content-Length": str(blob.size),
        "Content-Type": blob.headers.get("content-type", ""),
        "Content-Encoding": blob.headers.get("content-encoding", ""),
        "Content-Language": blob.headers.get("content-language", ""),
        "Content-MD5": blob.headers.get("content-md5", ""),
        "Cache-Control": blob.headers.get("cache-control", ""),
        "Content-Disposition": blob.headers.get("content-disposition", ""),
        "BlobType": "BlockBlob",
        "LeaseStatus": "unlocked",
        "LeaseState": "available",
        "ServerEncrypted": "true",
    }
    _add_properties(element, properties)
    if has_metadata and blob.metadata:
        metadata = SubElement(element, "Metadata")
        for name, text in blob.metadata.items():
            SubElement(metadata, name).text = text


def _add_properties(parent: ElementTree.Element, properties: Mapping[str, str]) -> None:
    shown = SubElement(parent, "Properties")
    for name, text in properties.items():
        SubElement(shown, name).text = text


def _add_text(parent: ElementTree.Element, tag: str, text: str) -> None:
    """Add text from a client. As documented, text that XML cannot contain is percent-encoded."""
    if all(letter >= " " and letter not in "\ufffe\uffff" for letter in text):
        SubElement(parent, tag).text = text
    else:
        SubElement(parent, tag, {"Encoded": "true"}).text = quote(text)


def _page_size(call: BlobCall) -> int:
    text = call.query.get("maxresults", str(_LARGEST_PAGE))
    if not text.isdecimal():
        raise BlobError(BlobCode.INVALID_QUERY_PARAMETER_VALUE, QueryParameterName="maxresults")
    if int(text) < 1:
        raise BlobError(BlobCode.OUT_OF_RANGE_QUERY_PARAMETER_VALUE, QueryParameterName="maxresults")
    return min(int(text), _LARGEST_PAGE)


def _marker(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read_marker(text: str | None) -> str:
    try:
        return base64.urlsafe_b64decode((text or "").encode("ascii")).decode()
    except (binascii.Error, ValueError):
        error = BlobError(BlobCode.INVALID_QUERY_PARAMETER_VALUE, QueryParameterName="marker")
        raise error from None
