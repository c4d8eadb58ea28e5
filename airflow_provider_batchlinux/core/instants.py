"""Durations and instants as users and the service write them; imports only the standard library."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone

__all__ = [
    "WARNED_BEFORE",
    "Duration",
    "expiry_of",
    "iso8601_duration",
    "optional_seconds",
    "parse_instant",
    "rest_instant",
    "seconds_of",
]

Duration = timedelta | int | float
"""A pendulum duration (which is a ``timedelta``), a ``timedelta``, or seconds."""

WARNED_BEFORE = timedelta(weeks=8)
"""How long before the end of an image or a VM size people are warned of it."""

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")


def seconds_of(name: str, value: Duration) -> float:
    """
    Return a positive duration in seconds.

    :param name: the parameter's name, for the message.
    :param value: a pendulum duration, a ``timedelta`` or seconds.
    :raises ValueError: the value is no duration, not above zero, or endless.
    """
    seconds = _seconds(value)
    if seconds is None:
        msg = f"{name}={value!r} is not a duration: give a pendulum duration, a timedelta or seconds."
        raise ValueError(msg)
    if not (seconds > 0 and math.isfinite(seconds)):
        msg = f"{name}={value!r} is not a finite time span above zero."
        raise ValueError(msg)
    return seconds


def optional_seconds(name: str, value: Duration | None) -> float | None:
    """
    Return a positive duration in seconds, or ``None`` for none.

    :raises ValueError: the value is no duration, or not above zero: zero is not "no limit".
    """
    return None if value is None else seconds_of(name, value)


def expiry_of(expires_in: Duration | None, expires_at: datetime | str | None, now: datetime) -> datetime:
    """
    Return the instant at which something expires, in UTC.

    :param expires_in: a span from now (pendulum duration, ``timedelta`` or seconds), or ``None``.
    :param expires_at: an instant with a time zone (pendulum or standard, or ISO 8601 text), or ``None``.
    :param now: the present instant.
    :raises ValueError: both or neither are given, the instant has no time zone, or it is past.
    """
    if (expires_in is None) == (expires_at is None):
        msg = "Give exactly one of expires_in and expires_at."
        raise ValueError(msg)
    if expires_in is not None:
        return _after(now, expires_in)
    instant = parse_instant(expires_at) if isinstance(expires_at, str) else expires_at
    if not isinstance(instant, datetime) or instant.utcoffset() is None:
        msg = (
            f"expires_at={expires_at!r} is not an instant with a time zone; "
            "give one such as pendulum.datetime(2030, 1, 1, tz='UTC') or '2030-01-01T00:00:00Z'."
        )
        raise ValueError(msg)
    if instant <= now:
        msg = f"expires_at={instant.isoformat()} is not after now ({now.isoformat()})."
        raise ValueError(msg)
    return instant.astimezone(timezone.utc)


def parse_instant(text: str | None) -> datetime | None:
    """
    Read an instant as the service writes it, with up to seven decimals; ``None`` when it is none.

    :param text: such as ``2025-01-16T07:08:09.1234567Z``.
    """
    match = _INSTANT.fullmatch((text or "").strip())
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    micros = f"{fraction or 0:0<6}"[:6]
    zone = "+00:00" if zone in "Zz" else zone
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{micros}{zone}").astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def rest_instant(instant: datetime) -> str:
    """Write an instant, which has a time zone, as the service reads it."""
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def iso8601_duration(seconds: float) -> str:
    """Write a duration as the service reads it, such as ``PT900S``, to the millisecond."""
    return f"PT{f'{seconds:.3f}'.rstrip('0').rstrip('.')}S"


def _after(now: datetime, span: Duration) -> datetime:
    try:
        return (now + timedelta(seconds=seconds_of("expires_in", span))).astimezone(timezone.utc)
    except OverflowError:
        msg = f"expires_in={span!r} ends after the year 9999."
        raise ValueError(msg) from None


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
