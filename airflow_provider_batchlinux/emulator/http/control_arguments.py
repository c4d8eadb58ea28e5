"""What the actions of the control plane take, and the reader that refuses everything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Network
from typing import Any

from airflow_provider_batchlinux.emulator.handlers.serializers import COUNTED_STATES
from airflow_provider_batchlinux.emulator.rules.packages import APPLICATION_NAME, VERSION_NAME
from airflow_provider_batchlinux.emulator.simulation.fault_rates import FaultRates
from airflow_provider_batchlinux.emulator.simulation.patterns import Pattern

_LONGEST_TEXT = 4096
_DAY = 86_400
_MOST = 1_000_000_000
_RESOURCE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True)
class Argument:
    """
    An argument of an action.

    :param kind: says what it is, after "it must be".
    :param accepts: returns whether a value is that.
    :param is_optional: whether it may be null or left out.
    :param default: used if it is left out.
    """

    kind: str
    accepts: Callable[[Any], bool]
    is_optional: bool = False
    default: Any = None


def read_arguments(arguments: Mapping[str, Argument], given: object) -> dict[str, Any]:
    """
    Return a value for each argument of an action.

    :param given: the body of the request.
    :raises TypeError: it is no object.
    :raises ValueError: with a sentence for each problem.
    """
    if not isinstance(given, dict):
        msg = "The body must be a JSON object."
        raise TypeError(msg)
    problems = [f"There is no argument {name!r}." for name in given if name not in arguments]
    values = {name: given.get(name, argument.default) for name, argument in arguments.items()}
    for name, argument in arguments.items():
        value = values[name]
        if value is None and argument.is_optional:
            continue
        if value is None:
            problems.append(f"{name} is missing: it must be {argument.kind}.")
        elif not argument.accepts(value):
            problems.append(f"{name} is {_shortened(value)}: it must be {argument.kind}.")
        elif argument in _PATTERNS:
            problems += _problems_of(name, value)
    if problems:
        raise ValueError(" ".join(problems))
    return values


def _problems_of(name: str, value: str) -> list[str]:
    try:
        Pattern(value)
    except ValueError as error:
        return [f"{name} is {_shortened(value)}. {error}"]
    return []


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT


def _is_number(value: object, least: float, most: float) -> bool:
    # In Python, true is 1.
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _is_prefix(value: object) -> bool:
    try:
        return isinstance(value, str) and IPv4Network(value).prefixlen >= 8
    except ValueError:
        return False


def _is_table(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _is_node_error(value: object) -> bool:
    if not isinstance(value, dict) or not {"code", "message"} <= set(value):
        return False
    details = value.get("errorDetails", [])
    rest = {name: each for name, each in value.items() if name != "errorDetails"}
    return _is_table(rest) and isinstance(details, list) and all(map(_is_table, details))


def _number(least: float, most: float, **more: Any) -> Argument:
    return Argument(
        f"a number from {least:g} to {most:,.0f}", lambda value: _is_number(value, least, most), **more
    )


def _count(least: int, most: int, **more: Any) -> Argument:
    def accepts(value: object) -> bool:
        return isinstance(value, int) and _is_number(value, least, most)

    return Argument(f"a whole number from {least} to {most:,}", accepts, **more)


_TEXT = Argument(f"a text of 1 to {_LONGEST_TEXT} characters", _is_text)
_OPTIONAL_TEXT = Argument(_TEXT.kind, _is_text, is_optional=True)
_PATTERN = Argument("a regular expression", _is_text)
_OPTIONAL_PATTERN = Argument(_PATTERN.kind, _is_text, is_optional=True)
_PATTERNS = (_PATTERN, _OPTIONAL_PATTERN)
_SECONDS = _number(0, _DAY, is_optional=True)
_LIMIT = _count(0, _MOST, is_optional=True)

_NAME = Argument(
    "a name of 1 to 80 letters, digits, hyphens, underscores and dots",
    lambda value: isinstance(value, str) and _RESOURCE_NAME.fullmatch(value) is not None,
)
_FLAG = Argument("true or false", lambda value: isinstance(value, bool), default=False)
_DENIED_TO = Argument("'caller' or 'batch'", lambda value: value in ("caller", "batch"), is_optional=True)

INJECT: Mapping[str, Argument] = {
    "method": Argument(
        "an HTTP method", lambda value: _is_text(value) and value.isascii() and value.isalpha(), True
    ),
    "path": _OPTIONAL_PATTERN,
    "times": _count(1, _MOST, is_optional=True, default=1),
    "status": _count(300, 599, is_optional=True),
    "code": _OPTIONAL_TEXT,
    "retry_after": _SECONDS,
    "delay": _SECONDS,
    "hold": _SECONDS,
    "drop": Argument("'before' or 'after'", lambda value: value in ("before", "after"), is_optional=True),
}
SET_NODE: Mapping[str, Argument] = {
    "pool_id": _TEXT,
    "node_id": _TEXT,
    "state": Argument(
        "the state of a node: " + ", ".join(COUNTED_STATES),
        lambda value: isinstance(value, str) and value.lower() in COUNTED_STATES,
    ),
    "errors": Argument(
        "a list of errors, each with code and message",
        lambda value: isinstance(value, list) and all(map(_is_node_error, value)),
        is_optional=True,
    ),
}
_QUOTAS = ("dedicated_cores", "spot_cores", "pools", "active_jobs", "nodes_per_pool")
SET_QUOTA: Mapping[str, Argument] = dict.fromkeys(_QUOTAS, _LIMIT)
_RATES = [each.name for each in fields(FaultRates)]
FAULT_RATES: Mapping[str, Argument] = dict.fromkeys(_RATES, _number(0, 1, is_optional=True))
SET_CAPACITY: Mapping[str, Argument] = {"dedicated": _LIMIT, "spot": _LIMIT}
PREEMPT: Mapping[str, Argument] = {
    "pool_id": _TEXT,
    "nodes": _count(0, _MOST, default=1),
    "node_id": _OPTIONAL_TEXT,
}
RESIZE_ERROR: Mapping[str, Argument] = {
    "pool_id": _PATTERN,
    "code": _TEXT,
    "message": _TEXT,
    "values": Argument("an object whose values are texts", _is_table, is_optional=True),
}
SET_SUBNET: Mapping[str, Argument] = {
    "network": _NAME,
    "subnet": _NAME,
    "prefix": Argument("an address range such as 10.0.0.0/24", _is_prefix, is_optional=True),
    "limit": _LIMIT,
    "used": _count(0, _MOST, default=0),
    "location": _OPTIONAL_TEXT,
    "denied_to": _DENIED_TO,
    "denies_batch": _FLAG,
    "denies_ssh": _FLAG,
    "is_delegated": _FLAG,
}
SET_PUBLIC_IP: Mapping[str, Argument] = {
    "name": _NAME,
    "location": _OPTIONAL_TEXT,
    "denied_to": _DENIED_TO,
}
SET_IMAGE: Mapping[str, Argument] = {
    "name": _NAME,
    "gallery": Argument(_NAME.kind, _NAME.accepts, is_optional=True),
    "version": Argument(_NAME.kind, _NAME.accepts, is_optional=True),
    "node_agent_sku": _OPTIONAL_TEXT,
    "generation": Argument("1 or 2", lambda value: value in (1, 2) and value is not True, default=2),
    "architecture": Argument("'x64' or 'Arm64'", lambda value: value in ("x64", "Arm64"), default="x64"),
    "location": _OPTIONAL_TEXT,
    "denied_to": _DENIED_TO,
}
SET_PACKAGE: Mapping[str, Argument] = {
    "application_id": Argument(
        "a name of 1 to 64 letters, digits, hyphens and underscores",
        lambda value: isinstance(value, str) and APPLICATION_NAME.fullmatch(value) is not None,
    ),
    "version": Argument(
        "a name of 1 to 64 letters, digits, hyphens, underscores and dots, and no dot at its beginning",
        lambda value: isinstance(value, str) and VERSION_NAME.fullmatch(value) is not None,
    ),
    "is_default": replace(_FLAG, default=True),
    "display_name": _OPTIONAL_TEXT,
}
CONTAINER: Mapping[str, Argument] = {
    "name": _TEXT,
    "permissions": _TEXT,
    "expires_in": _number(-_MOST, _MOST),
}
ADVANCE: Mapping[str, Argument] = {"seconds": _number(0, 36_525 * _DAY)}
