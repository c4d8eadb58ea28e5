"""The types of autoscale formulas, and their operators."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from airflow_provider_batchlinux.emulator.autoscale.problems import UnsuitableError


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """A length of time."""

    seconds: float


Value = float | str | tuple[float, ...] | datetime | Interval

INTERVALS: Mapping[str, Interval] = {
    f"TimeInterval_{name}": Interval(seconds)
    for name, seconds in {
        "Zero": 0.0,
        "100ns": 1e-7,
        "Microsecond": 1e-6,
        "Millisecond": 1e-3,
        "Second": 1.0,
        "Minute": 60.0,
        "Hour": 3600.0,
        "Day": 86400.0,
        "Week": 7 * 86400.0,
        "Year": 365 * 86400.0,
    }.items()
}
"""The length of a year is not documented. Assumed: 365 days."""

LONGEST_VECTOR = 100_000
"""A limit of the emulator: a short formula can double a vector a hundred times."""

_KINDS: Mapping[type, str] = {
    float: "double",
    str: "string",
    tuple: "doubleVec",
    datetime: "timestamp",
    Interval: "timeinterval",
}
_Operation = Callable[[Any, Any], Value]


def kind_of(value: Value) -> str:
    """Return the name of a value's type."""
    return _KINDS[type(value)]


def operate(symbol: str, left: Value, right: Value) -> Value:
    """
    Return the result of a binary operator.

    The supported types are those of the documented table, and timestamp minus timeinterval. As in .NET,
    division by zero gives infinity or NaN.

    :raises UnsuitableError: the operator does not support these types.
    """
    operation = _OPERATIONS.get((symbol, kind_of(left), kind_of(right)))
    if operation is None:
        problem = f"Operator '{symbol}' cannot be applied to {kind_of(left)} and {kind_of(right)}"
        raise UnsuitableError(problem)
    return operation(left, right)


def member_of(value: Value, name: str) -> float:
    """
    Return a member of a timestamp. Assumed, as in .NET: Sunday is day 0 of the week.

    :raises UnsuitableError: the value does not have this member.
    """
    if not isinstance(value, datetime) or name not in _MEMBERS:
        problem = f"{kind_of(value)} has no member '{name}'"
        raise UnsuitableError(problem)
    return float(_MEMBERS[name](value))


def format_value(value: Value) -> str:
    """Return a value as shown in the results of an evaluation. For intervals and vectors: assumed."""
    if isinstance(value, tuple):
        return f"[{','.join(map(_format_double, value))}]"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"
    if isinstance(value, Interval):
        return _format_interval(value.seconds)
    return value if isinstance(value, str) else _format_double(value)


def _format_double(value: float) -> str:
    if math.isfinite(value):
        return f"{value:.15g}"
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _format_interval(seconds: float) -> str:
    """Return an interval as .NET writes a TimeSpan: ``-1.02:03:04.5000000``."""
    if not math.isfinite(seconds):
        return _format_double(seconds)
    whole, parts = divmod(round(abs(seconds) * 10**7), 10**7)
    minutes, hours = whole // 60, whole // 3600
    sign = "-" if seconds < 0 else ""
    days = f"{hours // 24}." if hours >= 24 else ""
    fraction = f".{parts:07}" if parts else ""
    return f"{sign}{days}{hours % 24:02}:{minutes % 60:02}:{whole % 60:02}{fraction}"


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


def _each(operation: Callable[[float, float], float]) -> _Operation:
    def with_number(left: tuple[float, ...], right: float | tuple[float, ...]) -> Value:
        others = right if isinstance(right, tuple) else (right,) * len(left)
        if len(left) != len(others):
            problem = f"Vectors of {len(left)} and {len(others)} values do not match"
            raise UnsuitableError(problem)
        return tuple(map(operation, left, others))

    return with_number


def _shifted(instant: datetime, by: Interval) -> datetime:
    try:
        return instant + timedelta(seconds=by.seconds)
    except (OverflowError, ValueError):
        problem = "The timestamp is out of range"
        raise UnsuitableError(problem) from None


def _scaled(operation: Callable[[float, float], float]) -> _Operation:
    return lambda interval, number: Interval(operation(interval.seconds, number))


def _combined(operation: Callable[[float, float], float]) -> _Operation:
    return lambda left, right: Interval(operation(left.seconds, right.seconds))


def _compared(comparison: Callable[[Any, Any], bool]) -> _Operation:
    return lambda left, right: float(comparison(left, right))


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
}
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
    "!=": operator.ne,
}
_OPERATIONS: Mapping[tuple[str, str, str], _Operation] = {
    **{(symbol, "double", "double"): by for symbol, by in _ARITHMETIC.items()},
    **{
        (symbol, "doubleVec", other): _each(by)
        for (symbol, by), other in product(_ARITHMETIC.items(), ("double", "doubleVec"))
    },
    **{
        (symbol, kind, kind): _compared(by)
        for (symbol, by), kind in product(
            _COMPARISONS.items(), ("double", "string", "timestamp", "timeinterval")
        )
    },
    ("*", "timeinterval", "double"): _scaled(operator.mul),
    ("/", "timeinterval", "double"): _scaled(_divide),
    ("*", "double", "timeinterval"): lambda number, interval: Interval(number * interval.seconds),
    ("+", "timeinterval", "timeinterval"): _combined(operator.add),
    ("-", "timeinterval", "timeinterval"): _combined(operator.sub),
    ("+", "timeinterval", "timestamp"): lambda interval, instant: _shifted(instant, interval),
    ("+", "timestamp", "timeinterval"): _shifted,
    ("-", "timestamp", "timeinterval"): lambda instant, interval: _shifted(
        instant, Interval(-interval.seconds)
    ),
    ("-", "timestamp", "timestamp"): lambda left, right: Interval((left - right).total_seconds()),
}
_MEMBERS: Mapping[str, Callable[[datetime], int]] = {
    "year": lambda instant: instant.year,
    "month": lambda instant: instant.month,
    "day": lambda instant: instant.day,
    "weekday": lambda instant: instant.isoweekday() % 7,
    "hour": lambda instant: instant.hour,
    "minute": lambda instant: instant.minute,
    "second": lambda instant: instant.second,
}
