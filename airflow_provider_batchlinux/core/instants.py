"""Convert durations and instants between how users, Airflow and the service write them."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta, timezone

Duration = timedelta | int | float
"""A pendulum duration (which is a ``timedelta``), a ``timedelta``, or seconds."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

WARNED_BEFORE = timedelta(weeks=8)
"""How long before the end of support of an image or a VM size a warning is logged."""


def seconds_of(name: str, value: Duration) -> float:
    """
    Return a positive duration in seconds.

    :param name: the parameter's name, for the message.
    :param value: a pendulum duration, a ``timedelta`` or seconds.
    :raises ValueError: the value is no duration, or not finite and above zero.
    """
    seconds = _seconds(value)
    if seconds is None:
        msg = f"{name}={value!r} is not a duration: give a pendulum duration, a timedelta or seconds."
        raise ValueError(msg)
    if not (seconds > 0 and math.isfinite(seconds)):
        msg = f"{name}={value!r} is not a finite time span above zero."
        raise ValueError(msg)
    return seconds


def expiry_of(
    expires_in: Duration | None, expires_at: datetime | date | str | None, now: datetime
) -> datetime:
    """
    Return an expiry in UTC.

    :param expires_in: a duration from now (pendulum duration, ``timedelta`` or seconds), or ``None``.
    :param expires_at: as :func:`instant_of` reads it, or ``None``.
    :param now: the present instant.
    :raises ValueError: both or neither are given, or the instant has no time zone or is in the past.
    """
    if (expires_in is None) == (expires_at is None):
        msg = "Give exactly one of expires_in and expires_at."
        raise ValueError(msg)
    if expires_in is not None:
        try:
            return (now + timedelta(seconds=seconds_of("expires_in", expires_in))).astimezone(timezone.utc)
        except OverflowError:
            msg = f"expires_in={expires_in!r} ends after the year 9999."
            raise ValueError(msg) from None
    instant = instant_of(expires_at)
    if instant is None:
        msg = (
            f"expires_at={expires_at!r} is not an instant with a time zone; "
            "give one such as pendulum.datetime(2030, 1, 1, tz='UTC') or '2030-01-01T00:00:00Z', or a day."
        )
        raise ValueError(msg)
    if instant <= now:
        msg = f"expires_at={instant.isoformat()} is not after now ({now.isoformat()})."
        raise ValueError(msg)
    return instant.astimezone(timezone.utc)


def instant_of(value: object) -> datetime | None:
    """
    Return an instant that a user wrote, in UTC; ``None`` if it is none.

    :param value: a ``datetime`` with a time zone (pendulum or standard), a ``date``, which is its midnight in
        UTC, or one of these as ISO 8601 text: ``2030-01-01T10:00+02:00``, ``2030-01-01T08:00:00Z``,
        ``2030-01-01``.
    """
    if isinstance(value, str):
        text = value.strip()
        value = parse_instant(f"{text}T00:00Z" if _DAY.fullmatch(text) else text)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=timezone.utc)
    if not isinstance(value, datetime) or value.utcoffset() is None:
        return None
    try:
        return value.astimezone(timezone.utc)
    except OverflowError:
        return None


def parse_instant(text: str | None) -> datetime | None:
    """
    Return an instant in UTC; ``None`` if the text is none.

    :param text: ISO 8601 with a time zone, as the service writes it: ``2025-01-16T07:08:09.1234567Z``.
    """
    # pendulum.parse() takes 80 us, and a list of 1,000 nodes contains several thousand instants; the parser
    # below it takes 0.5 us. It is imported here, because a Dag file needs no parser.
    from pendulum.parsing import parse_iso8601

    written = (text or "").strip().upper()
    try:
        parsed = parse_iso8601(written) if written.isascii() else None
        if not isinstance(parsed, datetime) or parsed.tzinfo is None:
            return None
        return parsed.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def instant_text(text: str | None) -> str | None:
    """Return an instant of the service in the form that this provider shows; ``None`` if the text is none."""
    instant = parse_instant(text)
    return instant.isoformat() if instant else None


def duration_seconds(text: str) -> float | None:
    """
    Return the seconds of an ISO 8601 duration; ``None`` if the text is none, or contains months or years.

    :param text: such as ``PT15M``, as the service writes it.
    """
    import pendulum

    try:
        parsed = pendulum.parse(text.strip().upper())
    except (ValueError, OverflowError):
        return None
    # Pendulum reads "PT" as zero, and a month as 30 days; the service refuses both.
    if not isinstance(parsed, pendulum.Duration) or not any(map(str.isdigit, text)):
        return None
    return None if parsed.years or parsed.months else parsed.total_seconds()


def rest_instant(instant: datetime) -> str:
    """Return an instant, which must have a time zone, as the service reads it."""
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def iso8601_duration(seconds: float) -> str:
    """Return a duration as the service reads it, such as ``PT900S``, to the millisecond."""
    return f"PT{f'{seconds:.3f}'.rstrip('0').rstrip('.')}S"


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
