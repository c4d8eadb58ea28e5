"""Times and durations in the formats of the service."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache

_ERA = datetime(1, 1, 1, tzinfo=timezone.utc)
_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE
)
_LONGEST = Decimal("922337203685.4775807")
UNLIMITED = "P10675199DT2H48M5.4775807S"
"""The longest duration of .NET, which the service uses for "no limit"."""


@lru_cache(maxsize=4096)
def format_instant(instant: datetime) -> str:
    """Return a time as written in bodies: UTC with seven decimals."""
    return instant.replace(tzinfo=None).isoformat(timespec="microseconds") + "0Z"


def format_http_date(instant: datetime) -> str:
    """Return a time as written in headers (RFC 1123)."""
    return _format_second(instant.replace(microsecond=0))


@lru_cache
def _format_second(instant: datetime) -> str:
    return format_datetime(instant, usegmt=True)


@lru_cache
def parse_http_date(text: str) -> datetime:
    """
    Parse a time in a header.

    :raises ValueError: the text is not an RFC 1123 date.
    """
    instant = parsedate_to_datetime(text)
    return instant.replace(tzinfo=instant.tzinfo or timezone.utc)


def parse_instant(text: str) -> datetime:
    """
    Parse an ISO 8601 time; without an offset it is UTC.

    :raises ValueError: the text is not an ISO 8601 time.
    """
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        msg = f"{text!r} is not an ISO 8601 time."
        raise ValueError(msg)
    seconds, fraction, offset = match.groups()
    moment = datetime.fromisoformat(seconds)
    moment = moment.replace(microsecond=int((fraction or "0").ljust(6, "0")[:6]))
    return moment.replace(tzinfo=_parse_offset(offset)).astimezone(timezone.utc)


def _parse_offset(offset: str | None) -> timezone:
    if offset is None or offset in "Zz":
        return timezone.utc
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    size = timedelta(hours=hours, minutes=minutes)
    return timezone(-size if offset[0] == "-" else size)


def parse_duration(text: str) -> float:
    """
    Return the seconds of an ISO 8601 duration. Recorded: a year has 365 days and a month 30.

    :raises ValueError: the text is not an ISO 8601 duration, or is too long for the service.
    """
    return float(_parse_duration(text))


def format_duration(text: str) -> str:
    """
    Return a duration in the form the service returns: ``PT0H20M`` becomes ``PT20M``, ``PT24H`` ``P1D``.

    :raises ValueError: the text is not an ISO 8601 duration, or is too long for the service.
    """
    whole, fraction = divmod(_parse_duration(text), 1)
    minutes, seconds = divmod(int(whole), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    decimals = f"{fraction:.7f}"[1:].rstrip("0").rstrip(".")
    time = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
    time += f"{seconds}{decimals}S" if seconds or decimals else ""
    shown = (f"{days}D" if days else "") + (f"T{time}" if time else "")
    return f"P{shown or 'T0S'}"


def _parse_duration(text: str) -> Decimal:
    match = _DURATION.fullmatch(text.strip())
    parts = match.groupdict() if match else {}
    if not any(parts.values()):
        msg = f"{text!r} is not an ISO 8601 duration."
        raise ValueError(msg)
    numbers = (Decimal(part or 0) for part in parts.values())
    years, months, days, hours, minutes, seconds = numbers
    length = (((years * 365 + months * 30 + days) * 24 + hours) * 60 + minutes) * 60 + seconds
    if length > _LONGEST:
        msg = f"{text!r} is longer than the longest duration of the service."
        raise ValueError(msg)
    return length


def ticks(instant: datetime) -> int:
    """Return a time in units of 100 ns since year 1; the service derives ETags from it."""
    return (instant - _ERA) // timedelta(microseconds=1) * 10
