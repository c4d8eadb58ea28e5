"""The functions of autoscale formulas."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone

from airflow_provider_batchlinux.emulator.autoscale.problems import UnsuitableError
from airflow_provider_batchlinux.emulator.autoscale.values import (
    LONGEST_VECTOR,
    Value,
    kind_of,
)
from airflow_provider_batchlinux.emulator.protocol.instants import parse_http_date, parse_instant

Vector = tuple[float, ...]
Function = Callable[[Sequence[Value]], Value]

_W3C_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")


def joined(values: Sequence[Value]) -> Vector:
    """
    Return arguments of type doubleVecList, joined to one vector.

    :raises UnsuitableError: an argument is neither a double nor a vector, or there are too many values.
    """
    found: list[float] = []
    for value in values:
        if isinstance(value, tuple):
            found.extend(value)
        elif isinstance(value, float):
            found.append(value)
        else:
            problem = f"A double or doubleVec was expected, not {kind_of(value)}"
            raise UnsuitableError(problem)
        if len(found) > LONGEST_VECTOR:
            problem = f"A vector cannot have more than {LONGEST_VECTOR} values"
            raise UnsuitableError(problem)
    return tuple(found)


def read_time(text: str) -> datetime:
    """
    Parse a time in W3C-DTF or RFC 1123.

    :raises UnsuitableError: the string is not such a time.
    """
    try:
        if match := _W3C_DATE.fullmatch(text):
            year, month, day = (int(part or 1) for part in match.groups())
            return datetime(year, month, day, tzinfo=timezone.utc)
        return _read_full_time(text)
    except (ValueError, OverflowError):
        problem = f"'{text}' is not a time in W3C-DTF or RFC 1123"
        raise UnsuitableError(problem) from None


def _read_full_time(text: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError:
        return parse_http_date(text).astimezone(timezone.utc)


def _of_values(function: Callable[[Vector], float], *, least: int = 0) -> Function:
    def apply(arguments: Sequence[Value]) -> Value:
        values = joined(arguments)
        if len(values) < least:
            problem = "The list of values is empty"
            raise UnsuitableError(problem)
        return float(function(values))

    return apply


def _of_each(function: Callable[[float], float]) -> Function:
    def apply(arguments: Sequence[Value]) -> Value:
        if len(arguments) == 1 and isinstance(arguments[0], float):
            return function(arguments[0])
        return tuple(map(function, joined(arguments)))

    return apply


def _average(values: Vector) -> float:
    return sum(values) / len(values)


def _norm(values: Vector) -> float:
    return math.sqrt(sum(value * value for value in values))


def _deviation(values: Vector) -> float:
    """Return the sample standard deviation. Assumed: it is 0 for one value."""
    if len(values) < 2:
        return 0.0
    mean = _average(values)
    return _norm(tuple(value - mean for value in values)) / math.sqrt(len(values) - 1)


def _logarithm(function: Callable[[float], float]) -> Callable[[float], float]:
    def of(value: float) -> float:
        if value > 0:
            return function(value)
        return -math.inf if value == 0 else math.nan

    return of


def _exponential(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _whole(function: Callable[[float], float]) -> Callable[[float], float]:
    return lambda value: float(function(value)) if math.isfinite(value) else value


def _vector_and_number(arguments: Sequence[Value]) -> tuple[Vector, float]:
    if len(arguments) == 2:
        vector, number = arguments
        if isinstance(vector, tuple) and isinstance(number, float):
            return vector, number
    kinds = ", ".join(map(kind_of, arguments))
    problem = f"A doubleVec and a double were expected, not ({kinds})"
    raise UnsuitableError(problem)


def _percentile(arguments: Sequence[Value]) -> Value:
    """Return a percentile by nearest rank. The rule of the service is not documented."""
    vector, percent = _vector_and_number(arguments)
    if not vector or not 0 <= percent <= 100:
        problem = "A vector with values and a percentage from 0 to 100 were expected"
        raise UnsuitableError(problem)
    rank = math.ceil(percent / 100 * len(vector))
    return sorted(vector)[max(rank, 1) - 1]


def _value_at(arguments: Sequence[Value]) -> Value:
    vector, index = _vector_and_number(arguments)
    if not 0 <= index < len(vector):
        problem = f"There is no element {index:g} in a vector of {len(vector)} values"
        raise UnsuitableError(problem)
    return vector[int(index)]


FUNCTIONS: Mapping[str, Function] = {
    "avg": _of_values(_average, least=1),
    "len": _of_values(lambda values: float(len(values))),
    "max": _of_values(max, least=1),
    "min": _of_values(min, least=1),
    "norm": _of_values(_norm),
    "range": _of_values(lambda values: max(values) - min(values), least=1),
    "std": _of_values(_deviation, least=1),
    "sum": _of_values(sum),
    "ceil": _of_each(_whole(math.ceil)),
    "ex": _of_each(_exponential),
    "floor": _of_each(_whole(math.floor)),
    "lg": _of_each(_logarithm(math.log2)),
    "ln": _of_each(_logarithm(math.log)),
    "log": _of_each(_logarithm(math.log10)),
    "round": _of_each(_whole(round)),
    "percentile": _percentile,
    "val": _value_at,
    "vec": joined,
}
"""Functions that depend only on their arguments. Assumed: an empty list is an error."""
