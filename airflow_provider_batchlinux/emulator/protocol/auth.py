"""Shared-key signatures, checked exactly as the service does."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qs

from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.instants import parse_http_date

# Documented: an older or newer date is refused, so that a recorded request cannot be sent again.
MAX_SKEW = timedelta(minutes=15)
SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
"""In the order in which their values are signed, by Batch and by storage alike."""


def check_shared_key(
    account: str,
    key: str,
    method: str,
    raw_target: str,
    headers: Mapping[str, str],
    now: datetime,
) -> None:
    """
    Raise an error unless a request is signed with the account's key and dated within 15 minutes.

    :param raw_target: path and query as sent: clients sign them undecoded.
    :param headers: header fields by lower-cased name.
    :raises ServiceError: ``AuthenticationFailed``, with the cause as a detail.
    """
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if not scheme or scheme.lower() == "bearer":
        raise authentication_failed(detail="The Authorization header is missing or not SharedKey.")
    name, _, signature = credentials.partition(":")
    if scheme.lower() != "sharedkey" or not name or not signature:
        # Documented; what the service takes for a wrong format is assumed.
        raise ServiceError(Code.INVALID_AUTHENTICATION_INFO)
    if name != account:
        # Recorded in these words.
        cause = "Cannot find the claimed account when trying to GetProperties for the account"
        raise authentication_failed(detail=f"{cause} {name}.")
    _check_date(headers, now)
    texts = (
        string_to_sign(account, method, raw_target, headers, empty_length=length) for length in ("0", "")
    )
    if not any(is_secret(signature, sign(key, text)) for text in texts):
        raise authentication_failed(detail="The MAC signature of the request is not the same.")


def string_to_sign(
    account: str, method: str, raw_target: str, headers: Mapping[str, str], *, empty_length: str = "0"
) -> str:
    """
    Return the text whose MAC is the signature of a request.

    :param empty_length: what is signed as the length of a write that has neither a body nor a length. The
        Python packages sign 0; ``@azure/batch`` signs 0 for POST and nothing for other methods.
    """
    path, _, query = raw_target.partition("?")
    standard = {name: headers.get(name, "") for name in SIGNED_HEADERS}
    if method not in ("GET", "HEAD"):
        standard["content-length"] = standard["content-length"] or empty_length
    special = sorted(item for item in headers.items() if item[0].startswith("ocp-") and item[1])
    lines = [method, *standard.values()]
    lines += [f"{name}:{value}" for name, value in special]
    lines.append(f"/{account}{path}")
    lines += _signed_parameters(query)
    return "\n".join(lines)


@lru_cache
def _signed_parameters(query: str) -> tuple[str, ...]:
    parameters = sorted((name, values[0]) for name, values in parse_qs(query).items())
    return tuple(f"{name}:{value}" for name, value in parameters)


def sign(key: str, text: str) -> str:
    """Return the signature of a text under an account key."""
    digest = hmac.digest(base64.b64decode(key), text.encode(errors="surrogateescape"), "sha256")
    return base64.b64encode(digest).decode()


def is_secret(given: str, secret: str) -> bool:
    """Return whether a text that a client sent is a secret, in a time that does not depend on the text."""
    # Header fields that are not UTF-8 come as half surrogate pairs, which have no bytes.
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())


def authentication_failed(*, detail: str) -> ServiceError:
    """
    Return the error for a request that is not authenticated.

    Recorded: its status is 403 where a key signs, and there is no WWW-Authenticate.
    """
    return ServiceError(Code.AUTHENTICATION_FAILED, {"AuthenticationErrorDetail": detail})


def _check_date(headers: Mapping[str, str], now: datetime) -> None:
    text = headers.get("ocp-date") or headers.get("date")
    if not text:
        raise authentication_failed(detail="The request has neither an ocp-date nor a Date header.")
    try:
        sent = parse_http_date(text)
    except ValueError:
        raise authentication_failed(detail=f"{text!r} is not an RFC 1123 date.") from None
    if abs(now - sent) > MAX_SKEW:
        raise authentication_failed(
            detail=f"The request is dated {text}, more than 15 minutes off the service's clock."
        )
