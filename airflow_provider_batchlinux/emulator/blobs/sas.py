"""Creates and checks SAS tokens of the three kinds, as documented by Azure Storage."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import AddressValueError, IPv4Address
from urllib.parse import urlencode

from airflow_provider_batchlinux.emulator.blobs.delegation import DelegationKey
from airflow_provider_batchlinux.emulator.blobs.errors import BlobCode, BlobError, authentication_failed
from airflow_provider_batchlinux.emulator.protocol.auth import is_secret, sign
from airflow_provider_batchlinux.emulator.protocol.instants import parse_instant

VERSION = "2021-12-02"
BLOB_PERMISSIONS = "racwdl"
"""The permissions of a container's SAS, in the order that Azure Storage requires."""

EVERY_PERMISSION = "racwdxyltfmeopi"

_EARLIEST = "2015-04-05"
_EARLIEST_DELEGATED = "2018-11-09"
_OVERRIDES = ("rscc", "rscd", "rsce", "rscl", "rsct")
_RESOURCE_PARTS = ("sr", "sv", "sp", "se", "sig")
_ACCOUNT_PARTS = ("ss", "srt", "sv", "sp", "se", "sig")
_DELEGATED_PARTS = (*_RESOURCE_PARTS, "skoid", "sktid", "skt", "ske", "sks", "skv")
_NOT_EMULATED = ("si", "skdutid", "sduoid", "srh", "srq")
"""Stored access policies, tokens that are bound to a user, and those that are bound to parts of requests."""


@dataclass(frozen=True)
class Target:
    """
    The account, container or blob of a request.

    :param container: name of the container; empty for the account.
    :param blob: name of the blob; ``None`` for the container.
    """

    account: str
    container: str
    blob: str | None = None


@dataclass(frozen=True)
class Circumstances:
    """
    When a request is sent, from where, and how.

    :param now: the time for the expiry of tokens.
    :param is_secure: whether it is sent over HTTPS.
    """

    now: datetime
    address: str
    is_secure: bool = False


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
    """Return the string to sign of a service or user delegation SAS, which depends on its version."""
    version = token["sv"]
    path = f"/blob/{target.account}/{target.container}"
    if token.get("sr") == "b":
        path += f"/{target.blob or ''}"
    names = ["sp", "st", "se", "", *_signers(token, version), "sip", "spr", "sv"]
    if version >= "2018-11-09":
        # The empty field is the time of a snapshot.
        names += ["sr", ""]
    if version >= "2020-12-06":
        names.append("ses")
    if "skoid" in token and version >= "2026-04-06":
        # Parts of the request that the token is bound to: refused where they are given.
        names += ["", ""]
    fields = [token.get(name, "") for name in (*names, *_OVERRIDES)]
    fields[3] = path
    return "\n".join(fields)


def account_string_to_sign(token: Mapping[str, str], account: str) -> str:
    """Return the string to sign of an account SAS, which depends on its version."""
    names = ["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"]
    if token["sv"] >= "2020-12-06":
        names.append("ses")
    return "".join(f"{field}\n" for field in (account, *(token.get(name, "") for name in names)))


def check_service_sas(
    token: Mapping[str, str], target: Target, key: str, circumstances: Circumstances
) -> str:
    """
    Return the permissions of a token that the account's key has signed for a container or blob.

    :param token: the query of the request.
    :raises BlobError: 403, with the code of Azure Storage.
    """
    _check_form(token, _RESOURCE_PARTS)
    _check_resource(token)
    _check_signature(token, key, string_to_sign(token, target))
    _check_circumstances(token, circumstances)
    return token["sp"]


def check_account_sas(token: Mapping[str, str], account: str, key: str, circumstances: Circumstances) -> str:
    """
    Return the permissions of a token that the account's key has signed for types of resources.

    :param token: the query of the request.
    :raises BlobError: 403, with the code of Azure Storage.
    """
    _check_form(token, _ACCOUNT_PARTS)
    for name, letters in (("ss", "bqtf"), ("srt", "sco")):
        if set(token[name]) - set(letters):
            raise authentication_failed(detail=f"{name} is invalid")
    _check_signature(token, key, account_string_to_sign(token, account))
    _check_circumstances(token, circumstances)
    if "b" not in token["ss"]:
        raise BlobError(BlobCode.AUTHORIZATION_SERVICE_MISMATCH)
    return token["sp"]


def check_delegated_sas(
    token: Mapping[str, str], target: Target, account_key: str, circumstances: Circumstances
) -> tuple[str, DelegationKey]:
    """
    Return the permissions of a token that a user delegation key has signed, and that key.

    What the owner of the key is allowed to do is for the caller to check.

    :param token: the query of the request.
    :param account_key: the account's key, from which the others are derived.
    :raises BlobError: 403, with the code of Azure Storage.
    """
    _check_form(token, _DELEGATED_PARTS, _EARLIEST_DELEGATED)
    _check_resource(token)
    key = DelegationKey(*(token[name] for name in ("skoid", "sktid", "skt", "ske", "sks", "skv")))
    _check_signature(token, key.value(account_key), string_to_sign(token, target))
    _check_circumstances(token, circumstances)
    _check_times(token, "skt", "ske", circumstances.now)
    return token["sp"], key


def _signers(token: Mapping[str, str], version: str) -> list[str]:
    """Return the names of the fields that say who has signed."""
    if "skoid" not in token:
        return ["si"]
    names = ["skoid", "sktid", "skt", "ske", "sks", "skv"]
    if version >= "2020-02-10":
        names += ["saoid", "suoid", "scid"]
    if version >= "2025-07-05":
        names += ["skdutid", "sduoid"]
    return names


def _check_form(token: Mapping[str, str], parts: Sequence[str], earliest: str = _EARLIEST) -> None:
    for name in parts:
        if not token.get(name):
            # In Azure, expiry and permissions may also come from a stored access policy.
            raise authentication_failed(detail=f"{name} is mandatory. Cannot be empty")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", token["sv"]) or token["sv"] < earliest:
        raise authentication_failed(detail="sv is not a version that is served")
    for name in _NOT_EMULATED:
        if name in token:
            raise authentication_failed(detail=f"{name} is not emulated")
    if set(token["sp"]) - set(EVERY_PERMISSION):
        raise authentication_failed(detail="sp is invalid")


def _check_resource(token: Mapping[str, str]) -> None:
    if token["sr"] not in ("b", "c"):
        raise authentication_failed(detail="sr is invalid")


def _check_signature(token: Mapping[str, str], key: str, text: str) -> None:
    if not is_secret(token["sig"], sign(key, text)):
        raise authentication_failed(detail="Signature did not match.")


def _check_circumstances(token: Mapping[str, str], circumstances: Circumstances) -> None:
    _check_times(token, "st", "se", circumstances.now)
    protocol = token.get("spr", "https,http")
    if protocol != "https,http" and not (protocol == "https" and circumstances.is_secure):
        raise BlobError(BlobCode.AUTHORIZATION_PROTOCOL_MISMATCH)
    if "sip" in token and not _covers(token["sip"], circumstances.address):
        raise BlobError(BlobCode.AUTHORIZATION_SOURCE_IP_MISMATCH)


def _check_times(token: Mapping[str, str], first: str, last: str, now: datetime) -> None:
    start, expiry = (_time(token, name) for name in (first, last))
    if (start is not None and now < start) or (expiry is not None and now >= expiry):
        current = now.strftime("%a, %d %b %Y %H:%M:%S GMT")
        frame = f"Start [{token.get(first, '')}] - Expiry [{token[last]}] - Current [{current}]"
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
