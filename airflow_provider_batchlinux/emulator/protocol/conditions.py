"""Conditional requests: the four ``If-`` headers, compared with the version of a resource."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.instants import parse_http_date
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Version


def check_conditions(call: Call, version: Version) -> None:
    """
    Raise an error if the conditions of a request are not met.

    :raises ServiceError: ``ConditionNotMet``, with status 304 for reads and 412 for writes.
    """
    if not _holds(call, version):
        raise _not_met(call)


def check_dates(call: Call, modified: datetime) -> None:
    """
    Raise an error if the date conditions of a request are not met. Files have a date, but no ETag.

    :raises ServiceError: ``ConditionNotMet``, with status 304 for reads and 412 for writes.
    """
    if not _dates_hold(call, modified):
        raise _not_met(call)


def _not_met(call: Call) -> ServiceError:
    status = 304 if call.method in ("GET", "HEAD") else 412
    return ServiceError(Code.CONDITION_NOT_MET, status=status)


def _holds(call: Call, version: Version) -> bool:
    match, none_match = call.headers.get("if-match"), call.headers.get("if-none-match")
    return (
        (match is None or _names(match, version))
        and (none_match is None or not _names(none_match, version))
        and _dates_hold(call, version.modified)
    )


def _dates_hold(call: Call, modified: datetime) -> bool:
    # Headers have whole seconds: a change within the same second counts as unmodified.
    since = call.headers.get("if-modified-since")
    unmodified_since = call.headers.get("if-unmodified-since")
    modified = modified.replace(microsecond=0)
    return (since is None or modified > _date(since)) and (
        unmodified_since is None or modified <= _date(unmodified_since)
    )


def _names(header: str, version: Version) -> bool:
    """
    Return whether an ``If-Match`` or ``If-None-Match`` header names a version.

    Clients quote ETags, although the service writes them without quotes. Assumed, as in HTTP: lists and
    weak ETags are accepted.
    """
    named = (tag.strip().removeprefix("W/").strip('"') for tag in header.split(","))
    return header.strip() == "*" or version.etag in named


def _date(text: str) -> datetime:
    try:
        return parse_http_date(text)
    except ValueError:
        raise ServiceError(Code.INVALID_HEADER_VALUE, {"HeaderValue": text}) from None
