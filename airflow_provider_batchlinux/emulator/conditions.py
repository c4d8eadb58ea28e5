"""Conditional requests: the four If- headers against a resource's version."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_batchlinux.emulator.errors import Code, ServiceError
from airflow_provider_batchlinux.emulator.instants import parse_http_date
from airflow_provider_batchlinux.emulator.records import Version
from airflow_provider_batchlinux.emulator.wire import Call

__all__ = ["check_conditions"]


def check_conditions(call: Call, version: Version) -> None:
    """
    Refuse a request whose conditions do not hold.

    :raises ServiceError: ``ConditionNotMet``, which is 304 for reads and 412 for writes.
    """
    if not _holds(call, version):
        status = 304 if call.method in ("GET", "HEAD") else 412
        raise ServiceError(Code.CONDITION_NOT_MET, status=status)


def _holds(call: Call, version: Version) -> bool:
    modified = version.modified.replace(microsecond=0)
    match, none_match = call.headers.get("if-match"), call.headers.get("if-none-match")
    since = call.headers.get("if-modified-since")
    unmodified_since = call.headers.get("if-unmodified-since")
    return (
        (match is None or _names(match, version))
        and (none_match is None or not _names(none_match, version))
        and (since is None or modified > _date(since))
        and (unmodified_since is None or modified <= _date(unmodified_since))
    )


def _names(header: str, version: Version) -> bool:
    """Clients send ETags with quotes, though the service writes them bare."""
    return header == "*" or header.strip('"') == version.etag


def _date(text: str) -> datetime:
    try:
        return parse_http_date(text)
    except ValueError:
        raise ServiceError(Code.INVALID_HEADER_VALUE, {"HeaderValue": text}) from None
