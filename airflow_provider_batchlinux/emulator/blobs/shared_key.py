"""Checks requests that are signed with the key of the storage account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qs

from airflow_provider_batchlinux.emulator.blobs.errors import authentication_failed
from airflow_provider_batchlinux.emulator.protocol.auth import MAX_SKEW, SIGNED_HEADERS, is_secret, sign
from airflow_provider_batchlinux.emulator.protocol.instants import parse_http_date


def check_shared_key(
    account: str, key: str, method: str, raw_target: str, headers: Mapping[str, str], now: datetime
) -> None:
    """
    Raise an error unless a request is signed with the account's key and dated within 15 minutes.

    :param raw_target: path and query as sent.
    :param headers: header fields by lower-case name.
    :param now: the system time, with which clients date requests.
    :raises BlobError: ``AuthenticationFailed``.
    """
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    name, _, signature = credentials.partition(":")
    if scheme.lower() != "sharedkey" or name != account:
        raise authentication_failed(detail="The Authorization header is not the SharedKey of this account.")
    _check_date(headers, now)
    expected = sign(key, string_to_sign(account, method, raw_target, headers))
    if not is_secret(signature, expected):
        raise authentication_failed(detail="The MAC signature found in the HTTP request is not the same.")


def string_to_sign(account: str, method: str, raw_target: str, headers: Mapping[str, str]) -> str:
    """Return the string to sign of a request."""
    path, _, query = raw_target.partition("?")
    standard = {name: headers.get(name, "") for name in SIGNED_HEADERS}
    if standard["content-length"] == "0":
        standard["content-length"] = ""
    special = sorted(item for item in headers.items() if item[0].startswith("x-ms-"))
    parameters = parse_qs(query, keep_blank_values=True)
    lines = [method, *standard.values()]
    lines += [f"{name}:{value}" for name, value in special]
    lines.append(f"/{account}{path}")
    lines += [f"{name.lower()}:{','.join(sorted(values))}" for name, values in sorted(parameters.items())]
    return "\n".join(lines)


def _check_date(headers: Mapping[str, str], now: datetime) -> None:
    try:
        sent = parse_http_date(headers.get("x-ms-date") or headers.get("date", ""))
    except ValueError:
        raise authentication_failed(
            detail="The request has neither an x-ms-date nor a Date header."
        ) from None
    if abs(now - sent) > MAX_SKEW:
        raise authentication_failed(detail="Request date header too old.")
