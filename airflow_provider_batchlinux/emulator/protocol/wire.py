"""Requests as handlers receive them, and replies as they return them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from airflow_provider_batchlinux.emulator.protocol import odata
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused_query
from airflow_provider_batchlinux.emulator.protocol.instants import format_http_date, format_instant
from airflow_provider_batchlinux.emulator.protocol.schema import read_body
from airflow_provider_batchlinux.emulator.protocol.versions import as_of, older_names

Item = TypeVar("Item")

JSON_TYPE = "application/json;odata=minimalmetadata"
# Documented: a page has at most 1,000 items, whatever maxresults says.
PAGE_LIMIT = 1000
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_LONGEST_TURN = 0.01
"""Seconds after which a list lets other requests have their turn."""

_LARGE_PAGE = 8 << 20
"""Characters after which a page ends, whatever its number of records. Assumed: the service does so, too."""

_SKIP_PREFIX = "WATV2:"
_ENTITIES = "Microsoft.Azure.Batch.Protocol.Entities"


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a resource, which changes with every update."""

    etag: str
    modified: datetime


@dataclass(frozen=True)
class Call:
    """
    One request, after routing.

    :param path_values: values for the ``{names}`` in the route, decoded.
    :param query: query parameters by lower-case name.
    :param repeated: names of query parameters that occur more than once.
    :param headers: header fields by lower-case name.
    :param now: the time of the request. All that it does happens at this time.
    """

    method: str
    path: str
    base_url: str
    request_id: str
    now: datetime
    query: Mapping[str, str]
    headers: Mapping[str, str]
    path_values: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    repeated: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """The API version of the request."""
        return self.query.get("api-version", "")

    @property
    def is_signed(self) -> bool:
        """Whether the request is signed with the account's key, rather than carrying an Entra token."""
        return self.headers.get("authorization", "").lower().startswith("sharedkey")

    def url(self, *segments: str) -> str:
        """Return the URL of a resource."""
        return "/".join((self.base_url, *(quote(segment, safe=":") for segment in segments)))

    def read(self, schema: str) -> dict[str, Any]:
        """Return the body, validated against the schema of that name, with its values converted."""
        return read_body(schema, self.body, self.api_version)


@lru_cache
def read_query(text: str) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Return the query parameters by lower-case name, and the names that occur more than once."""
    found = [(name.lower(), value) for name, value in parse_qsl(text, keep_blank_values=True)]
    times = Counter(name for name, _ in found)
    repeated = tuple(name for name, number in times.items() if number > 1)
    return MappingProxyType(dict(found)), repeated


@dataclass(frozen=True)
class FileContent:
    """A part of a file, to be sent as the body."""

    path: Path
    offset: int
    length: int


@dataclass(frozen=True)
class Reply:
    """
    The reply of a handler.

    :param encoded: its body as JSON, if that is written already.
    """

    status: int
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: FileContent | None = None
    encoded: bytes | None = None


def element(call: Call, set_name: str, view: Mapping[str, Any], version: Version | None = None) -> Reply:
    """Return the reply with one resource, reduced to the properties in ``$select``."""
    odata.check_expand(call.query.get("$expand"), set_name)
    select = _selection(call, set_name)
    shown = select(as_of(call.api_version, set_name, view))
    metadata = f"{call.base_url}/$metadata#{set_name}/@Element"
    return Reply(200, {"odata.metadata": metadata, **shown}, version_headers(version))


def entity(call: Call, type_name: str, view: Mapping[str, Any]) -> Reply:
    """Return the reply with an object that is not a resource, such as remote login settings."""
    metadata = f"{call.base_url}/$metadata#{_ENTITIES}.{type_name}"
    return Reply(200, {"odata.metadata": metadata, **view})


async def listing(
    call: Call,
    set_name: str,
    after: Callable[[str], Iterable[tuple[str, Item]]],
    view: Callable[[Item], Mapping[str, Any]],
) -> Reply:
    """
    Return the reply with one page of a list, as :func:`pages` does, in turns with other requests.

    A list may have tens of thousands of records, and each a megabyte.
    """
    for reply in pages(call, set_name, after, view):
        if reply is not None:
            return reply
        await asyncio.sleep(0)
    raise AssertionError


def pages(
    call: Call,
    set_name: str,
    after: Callable[[str], Iterable[tuple[str, Item]]],
    view: Callable[[Item], Mapping[str, Any]],
) -> Iterator[Reply | None]:
    """
    Yield the reply with one page of a list, and ``None`` before it whenever other requests may have a turn.

    :param after: returns (key, record) of all records after a key, in order.
    :param view: returns the JSON of a record, to which ``$filter`` is applied.
    """
    limit = _page_size(call)
    odata.check_expand(call.query.get("$expand"), set_name)
    matches = odata.parse_filter(call.query.get("$filter"), set_name)
    select = _selection(call, set_name)
    rows: list[str] = []
    last, size, end = "", 0, monotonic() + _LONGEST_TURN
    body: dict[str, Any] = {"odata.metadata": f"{call.base_url}/$metadata#{set_name}"}
    for key, record in after(_read_skip_token(call)):
        if monotonic() > end:
            yield None
            end = monotonic() + _LONGEST_TURN
        row = as_of(call.api_version, set_name, view(record))
        if not matches(row):
            continue
        if len(rows) == limit or size > _LARGE_PAGE:
            body["odata.nextLink"] = _next_link(call, last)
            break
        rows.append(_ENCODER.encode(select(row)))
        last, size = key, size + len(rows[-1])
    # The rows are JSON already: to write them once more would hold up others.
    head = _ENCODER.encode(body)
    yield Reply(200, encoded=f'{head[:-1]},"value":[{",".join(rows)}]}}'.encode())


def created(url: str, version: Version | None = None) -> Reply:
    """Return the reply to a create: no body, and the URL of the resource."""
    headers = {"location": url, "dataserviceid": url, **version_headers(version)}
    return Reply(201, headers=headers)


def done(call: Call, status: int, version: Version | None = None) -> Reply:
    """Return the reply to a write, which has no body."""
    headers = {"dataserviceid": call.base_url + call.path, **version_headers(version)}
    return Reply(status, headers=headers)


def error_reply(call: Call, error: ServiceError) -> Reply:
    """Return the reply for an error; "not modified" has no body."""
    if error.status == HTTPStatus.NOT_MODIFIED:
        return Reply(error.status)
    body: dict[str, Any] = {
        "odata.metadata": f"{call.base_url}/$metadata#{_ENTITIES}.Container.errors/@Element",
        "code": error.code,
        "message": error_message(call, error),
    }
    if error.values:
        body["values"] = [{"key": key, "value": value} for key, value in error.values.items()]
    headers = {} if error.retry_after is None else {"retry-after": f"{error.retry_after:g}"}
    if error.challenge is not None:
        headers["www-authenticate"] = error.challenge
    return Reply(error.status, body, headers)


def error_message(call: Call, error: ServiceError) -> dict[str, str]:
    """Return the message of an error, which contains the request id and the time."""
    trailer = f"\nRequestId:{call.request_id}\nTime:{format_instant(call.now)}"
    return {"lang": "en-US", "value": error.sentence + trailer}


def common_headers(call: Call) -> dict[str, str]:
    """Return the headers of every reply."""
    headers = {
        "request-id": call.request_id,
        "dataserviceversion": "3.0",
        "server": "Microsoft-HTTPAPI/2.0",
        "date": format_http_date(call.now),
        "strict-transport-security": "max-age=31536000; includeSubDomains",
        "x-content-type-options": "nosniff",
    }
    client_id = call.headers.get("client-request-id")
    if client_id and call.headers.get("return-client-request-id", "").lower() == "true":
        headers["client-request-id"] = client_id
    return headers


def version_headers(version: Version | None) -> dict[str, str]:
    """Return ``etag``, without quotes as the service writes it, and ``last-modified``."""
    if version is None:
        return {}
    return {"etag": version.etag, "last-modified": format_http_date(version.modified)}


def encode_body(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON."""
    return _ENCODER.encode(body).encode()


def _selection(call: Call, set_name: str) -> Callable[[odata.Row], odata.Row]:
    also = older_names(call.api_version, set_name)
    return odata.parse_select(call.query.get("$select"), set_name, also)


def _page_size(call: Call) -> int:
    text = call.query.get("maxresults", str(PAGE_LIMIT))
    try:
        size = int(text)
    except ValueError:
        raise refused_query(text, of="maxresults", reason="MaxResults is not a number") from None
    if size < 1:
        raise refused_query(text, of="maxresults", reason="MaxResults cannot be less than 1")
    if size > PAGE_LIMIT:
        reason = f"MaxResults cannot be greater than {PAGE_LIMIT}"
        raise refused_query(text, of="maxresults", reason=reason)
    return size


def _next_link(call: Call, last_key: str) -> str:
    token = _SKIP_PREFIX + base64.urlsafe_b64encode(last_key.encode()).decode()
    query = {**call.query, "$skiptoken": token}
    return f"{call.base_url}{call.path}?{urlencode(query, safe='$')}"


def _read_skip_token(call: Call) -> str:
    token = call.query.get("$skiptoken")
    if token is None:
        return ""
    try:
        encoded = token.removeprefix(_SKIP_PREFIX).encode()
        return base64.b64decode(encoded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        reason = "The continuation token is malformed."
        raise refused_query(token, of="$skiptoken", reason=reason) from None
