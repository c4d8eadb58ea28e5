"""Creates and checks service SAS tokens, as documented by Azure Storage."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import AddressValueError, IPv4Address
from urllib.parse import urlencode

from airflow_provider_batchlinux.emulator.blobs.errors import BlobCode, BlobError, authentication_failed
from airflow_provider_batchlinux.emulator.protocol.auth import is_secret, sign
from airflow_provider_batchlinux.emulator.protocol.instants import parse_instant

VERSION = "2021-12-02"
BLOB_PERMISSIONS = "racwdl"
"""The permissions of a container's SAS, in the order that Azure Storage requires."""

_EVERY_PERMISSION = "racwdxyltmeopi"
_EARLIEST = "2015-04-05"
_OVERRIDES = ("rscc", "rscd", "rsce", "rscl", "rsct")


@dataclass(frozen=True)
class Target:
    """
    The container or blob of a request.

    :param blob: name of the blob; ``None`` for the container.
    """

    account: str
    container: str
    blob: str | None = None


def make_sas(target: Target, key: str, permissions: str, expires: datetime) -> str:
    """
    Return a SAS token as the query of a URL.

    :param permissions: letters of ``racwdl``, in any order.
    :raises ValueError: there is another letter, or none.
    """
    ordered = "".join(letter for letter in BLOB_PERMISSIONS if letter in permissions)
    if not ordered or set(permissions) - set(ordered):
        msg = f"permissions must be letters of {BLOB_PERMISSIONS!r}, not {permissions!r}."
        raise ValueError(msg)
    token = {
        "sv": VERSION,
        "sr": "c" if target.blob is None else "b",
        "se": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sp": ordered,
    }
    return urlencode({**token, "sig": sign(key, string_to_sign(token, target))})


def string_to_sign(token: Mapping[str, str], target: Target) -> str:
    """Return the string to sign of a token, which depends on its version."""
    version = token["sv"]
    path = f"/blob/{target.account}/{target.container}"
    if token.get("sr") == "b":
        path += f"/{target.blob or ''}"
    fields = [path, *(token.get(name, "") for name in ("si", "sip", "spr", "sv"))]
    if version >= "2018-11-09":
        # The empty field is the time of a snapshot.
        fields += [token.get("sr", ""), ""]
    if version >= "2020-12-06":
        fields.append(token.get("ses", ""))
    head = [token.get(name, "") for name in ("sp", "st", "se")]
    return "\n".join([*head, *fields, *(token.get(name, "") for name in _OVERRIDES)])


def check_sas(token: Mapping[str, str], target: Target, key: str, now: datetime, address: str) -> str:
    """
    Return the permissions of a token.

    :param token: the query of the request.
    :param address: client address of the request.
    :raises BlobError: 403, with the code of Azure Storage.
    """
    _check_form(token)
    if not is_secret(token["sig"], sign(key, string_to_sign(token, target))):
        raise authentication_failed(detail="Signature did not match.")
    _check_times(token, now)
    if token.get("spr", "https,http") != "https,http":
        raise BlobError(BlobCode.AUTHORIZATION_PROTOCOL_MISMATCH)
    if "sip" in token and not _covers(token["sip"], address):
        raise BlobError(BlobCode.AUTHORIZATION_SOURCE_IP_MISMATCH)
    return token["sp"]


def _check_form(token: Mapping[str, str]) -> None:
    for name in ("sv", "sr", "sp", "se", "sig"):
        if not token.get(name):
            # In Azure, expiry and permissions may also come from a stored access policy.
            raise authentication_failed(detail=f"{name} is mandatory. Cannot be empty")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", token["sv"]) or token["sv"] < _EARLIEST:
        raise authentication_failed(detail="sv is not a version that is served")
    if token["sr"] not in ("b", "c"):
        raise authentication_failed(detail="sr is invalid")
    if "si" in token or "skoid" in token:
        raise authentication_failed(detail="Stored access policies and user delegation keys are not emulated")
    if set(token["sp"]) - set(_EVERY_PERMISSION):
        raise authentication_failed(detail="sp is invalid")


def _check_times(token: Mapping[str, str], now: datetime) -> None:
    start, expiry = (_time(token, name) for name in ("st", "se"))
    if (start is not None and now < start) or (expiry is not None and now >= expiry):
        current = now.strftime("%a, %d %b %Y %H:%M:%S GMT")
        frame = f"Start [{token.get('st', '')}] - Expiry [{token['se']}] - Current [{current}]"
        raise authentication_failed(detail=f"Signature not valid in the specified time frame: {frame}")


def _time(token: Mapping[str, str], name: str) -> datetime | None:
    text = token.get(name)
    if not text:
        return None
    try:
        return parse_instant(text if "T" in text else f"{text}T00:00Z")
    except ValueError:
        raise authentication_failed(detail=f"{name} is not a valid ISO 8601 time") from None


def _covers(addresses: str, address: str) -> bool:
    first, _, last = addresses.partition("-")
    try:
        return IPv4Address(first) <= IPv4Address(address) <= IPv4Address(last or first)
    except AddressValueError:
        return False
