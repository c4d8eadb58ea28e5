"""
The kinds of parameters: how a single rendered value is read.

A kind stands in a type as ``Annotated[str, Kind(...)]``. Kinds that belong to one subject, such as the name
of a user, are declared with that subject.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from numbers import Integral, Real
from pathlib import PurePath
from typing import Annotated, Generic, TypeAlias, TypeVar, cast

from airflow_provider_batchlinux.core.counts import read_share
from airflow_provider_batchlinux.core.ids import id_problems
from airflow_provider_batchlinux.core.instants import Duration, duration_seconds, instant_of
from airflow_provider_batchlinux.core.secrets import hide_whole

T = TypeVar("T")

NONE_TEXTS = ("", "None", "null")
"""What templates make of ``None``, also with the filter ``tojson``, or of nothing."""

_NO_IDS = ("nan", "nat", "undefined", "<na>")
"""The text of a missing value of other libraries, in lower case."""

ALL_IF_NONE = object()
"""Marks a selection: ``None`` selects everything, and text for nothing is a mistake."""

_LONGEST = 100 * 366 * 86400.0
"""Seconds of the longest duration; longer ones end after the last date that Python knows."""

_LARGEST = 2**53
"""The largest whole number that every reader of JSON holds exactly."""

_HIGHEST_PRIORITY = 1000

_NUMBER = re.compile(r"[-+]?\d+(?:\.0*)?")
_TIMEDELTA = re.compile(r"(?:(-?\d+) days?, )?(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """
    How a single value is read.

    :param what: what it must be, for messages: ``a whole number from 0 up``.
    :param read: returns the value; ``None`` if it is not of the kind.
    :param problems: lists what is wrong with a value that could be read, given the parameter's name; ``None``
        for a kind without further rules.
    :param hide: returns what Airflow may store of a value, and adds the secrets in it to the set; ``None``
        for a kind that is not secret. Messages do not quote a value of a kind that has it.
    """

    what: str
    read: Callable[[object], T | None]
    problems: Callable[[str, T], list[str]] | None = None
    hide: Callable[[object, set[str]], object] | None = None


def decoded(value: object) -> object:
    """Return the list or mapping that text is, as JSON or as Python writes it; anything else unchanged."""
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{", "("):
        return value
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, (list, tuple, set, Mapping)) else value
    return value


def native(value: object) -> object:
    """Return the value of a member of an enum, and a number of Python for one of numpy and the like."""
    if isinstance(value, Enum):
        return native(value.value)
    if isinstance(value, (int, float, Decimal)):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def text_of(value: object) -> str | None:
    """
    Return text, or a number as its text: native rendering makes ``20260101`` of ``ds_nodash``.

    :raises ValueError: if it has half of a character, which cannot be sent.
    """
    if isinstance(value, (str, PurePath)):
        text = str(value)
        text.encode()
        return text
    is_number = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    return str(value) if is_number else None


def is_nothing(value: object) -> bool:
    """Return whether a value is ``None``, or text of a template that found nothing."""
    return value is None or (isinstance(value, str) and str(value).strip() in NONE_TEXTS)


def required_text_of(value: object) -> str | None:
    """Return text that is not nothing."""
    if isinstance(value, (float, Decimal)) and not math.isfinite(value):
        return None
    text = text_of(value)
    return None if is_nothing(text) else text


def id_of(value: object) -> str | None:
    """Return the text of an id, which is not that of a missing value."""
    text = required_text_of(value)
    return None if text is None or text.strip().lower() in _NO_IDS else text


def environment_of(value: object) -> Mapping[str, str] | None:
    """Return names with text; a boolean is its text, and a name whose value is ``None`` is left out."""
    value = decoded(value)
    if not isinstance(value, Mapping):
        return None
    if None in value:
        return None
    given = {
        str(native(name)): str(item) if isinstance(item, bool) else text_of(native(item))
        for name, item in value.items()
        if item is not None
    }
    return None if any(item is None for item in given.values()) else cast("dict[str, str]", given)


def hide_environment(value: object, secrets: set[str]) -> object:  # noqa: ARG001  # see below
    """Replace the values; they are no secrets to mask elsewhere, because most are ordinary words."""
    return hide_whole(decoded(value), set())


def flag_of(value: object) -> bool | None:
    """Return a boolean, also from text such as ``"true"``."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return known.get(str(value).strip().lower())


def whole_number_of(value: object) -> int | None:
    """Return a whole number that JSON can hold, also from text such as ``"3"`` and from ``3.0``."""
    number = _whole_number_of(value)
    return number if number is not None and abs(number) <= _LARGEST else None


def _whole_number_of(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (float, Decimal)):
        return int(value) if math.isfinite(value) and value == int(value) else None
    if isinstance(value, str) and value.isascii() and _NUMBER.fullmatch(value.strip()):
        return int(value.strip().partition(".")[0])
    return value if isinstance(value, int) else None


def count_of(value: object) -> int | None:
    """Return a whole number from 0 up."""
    number = whole_number_of(value)
    return number if number is not None and number >= 0 else None


def positive_number_of(value: object) -> float | None:
    """Return a finite number above 0, also from text such as ``"2.5"``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def count_or_share_of(value: object) -> int | str | None:
    """Return a whole number from 0 up, or a share such as ``"5%"``."""
    count = count_of(value)
    if count is None and isinstance(value, str) and read_share(value) is not None:
        return value.strip()
    return count


def seconds_of_duration(value: object) -> float | None:
    """
    Return a finite duration above zero, in seconds.

    :param value: a pendulum duration, ``timedelta`` or seconds; or text: seconds, ISO 8601 (``PT15M``), or
        what Python makes of a ``timedelta`` (``1 day, 2:00:00``).
    """
    seconds: float | None = None
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except (OverflowError, ValueError):
            return None
    elif isinstance(value, str):
        seconds = _seconds_of_text(value.strip())
    return seconds if seconds is not None and 0 < seconds <= _LONGEST else None


def _seconds_of_text(text: str) -> float | None:
    if match := _TIMEDELTA.fullmatch(text):
        days, hours, minutes, seconds = match.groups(default="0")
        return ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 + float(seconds)
    try:
        return float(text)
    except ValueError:
        return duration_seconds(text)


Id: TypeAlias = Annotated[str, Kind("an id: give 1 to 64 letters, digits, '-' and '_'", id_of, id_problems)]
"""The id of a pool, job or other resource that the user chooses."""

ServiceId: TypeAlias = Annotated[str, Kind("an id", id_of)]
"""An id that the service or Airflow has chosen, such as a node's."""

Text: TypeAlias = Annotated[str, Kind("non-empty text", required_text_of)]
"""Text that is not empty."""

AnyText: TypeAlias = Annotated[str, Kind("text", text_of)]
"""Text that may be empty, such as a value in a mapping."""

SecretText: TypeAlias = Annotated[str, Kind("non-empty text", required_text_of, hide=hide_whole)]
"""Text that is neither stored nor quoted."""

Environment: TypeAlias = Annotated[
    Mapping[str, str],
    Kind("a mapping of names to text or numbers", environment_of, hide=hide_environment),
]
"""Environment variables, which may hold secrets."""

Variables: TypeAlias = Annotated[
    Mapping[str, str], Kind("a mapping of names to text or numbers", environment_of)
]
"""Environment variables that everyone may see."""

Flag: TypeAlias = Annotated[bool, Kind("true or false", flag_of)]
"""A boolean."""

WholeNumber: TypeAlias = Annotated[int, Kind("a whole number", whole_number_of)]
"""A whole number."""

RetryCount: TypeAlias = Annotated[
    int,
    Kind(
        "a whole number from -1 up (-1 is for ever)",
        lambda value: number if (number := whole_number_of(value)) is not None and number >= -1 else None,
    ),
]
"""A number of retries."""

Count: TypeAlias = Annotated[int, Kind("a whole number from 0 up", count_of)]
"""A whole number from 0 up."""

PositiveCount: TypeAlias = Annotated[
    int, Kind("a whole number from 1 up", lambda value: count_of(value) or None)
]
"""A whole number from 1 up."""

PositiveNumber: TypeAlias = Annotated[float, Kind("a number above 0", positive_number_of)]
"""A number above 0."""

Priority: TypeAlias = Annotated[
    int,
    Kind(
        "a whole number from -1000 to 1000",
        lambda value: (
            number
            if (number := whole_number_of(value)) is not None and abs(number) <= _HIGHEST_PRIORITY
            else None
        ),
    ),
]
"""The priority of a job."""

CountOrShare: TypeAlias = Annotated[
    int | str, Kind("a whole number from 0 up, or a share such as '5%'", count_or_share_of)
]
"""A number of nodes, or a share of them."""

_DURATION = Kind(
    "a duration above zero: give a pendulum duration, a timedelta or seconds", seconds_of_duration
)

Seconds: TypeAlias = Annotated[float, _DURATION]
"""A duration, read to seconds."""

DurationOrSeconds: TypeAlias = Annotated[Duration, _DURATION]
"""A duration in a spec object, which is read to seconds."""

Instant: TypeAlias = Annotated[
    datetime,
    Kind(
        "an instant with a time zone: give one such as pendulum.datetime(2030, 1, 1, tz='UTC') or "
        "'2030-01-01T00:00:00Z', or a day",
        instant_of,
    ),
]
"""An instant."""
