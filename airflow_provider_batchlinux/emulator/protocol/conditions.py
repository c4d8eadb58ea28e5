"""Conditional requests: the four If- headers against a resource's version."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_batchlinux.emulator.protocol.errors import Code, ServiceError
from airflow_provider_batchlinux.emulator.protocol.instants import parse_http_date
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Version


def check_conditions(call: Call, version: Version) -> None:
    """
    Refuse a request whose conditions do not hold.

    :raises ServiceError: ``ConditionNotMet``, which is 304 for reads and 412 for writes.
    """
    if not _holds(call, version):
        raise _not_met(call)


def check_dates(call: Call, modified: datetime) -> None:
    """
    Refuse a request whose dates do not hold, for what has a date but no ETag, such as a file.

    :raises ServiceError: ``ConditionNotMet``, which is 304 for reads and 412 for writes.
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
    """Headers have whole seconds: what was changed within the second counts as not changed since."""
    since = call.headers.get("if-modified-since")
    unmodified_since = call.headers.get("if-unmodified-since")
    modified = modified.replace(microsecond=0)
    return (since is None or modified > _date(since)) and (
        unmodified_since is None or modified <= _date(unmodified_since)
    )


def _names(header: str, version: Version) -> bool:
    """
    Tell whether an ``If-Match`` or ``If-None-Match`` names a version.

    Clients send ETags with quotes, though the service writes them bare; that lists and weak ETags are
    taken is not documented; assumed, as HTTP has them.
    """
    named = (tag.strip().removeprefix("W/").strip('"') for tag in header.split(","))
    return header.strip() == "*" or version.etag in named


def _date(text: str) -> datetime:
    try:
        return parse_http_date(text)
    except ValueError:
        raise ServiceError(Code.INVALID_HEADER_VALUE, {"HeaderValue": text}) from None
