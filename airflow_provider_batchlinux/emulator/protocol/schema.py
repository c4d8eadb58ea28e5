"""
Read request bodies: every property must be known, present if required, and of its type.

The schema is that of API version 2025-06-01 (``rest_schema``); ``versions`` has the differences of older
versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from math import isfinite
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.documents import read_json
from airflow_provider_batchlinux.emulator.protocol.errors import (
    ServiceError,
    invalid_body,
    missing_property,
    refused,
)
from airflow_provider_batchlinux.emulator.protocol.instants import format_duration, parse_instant
from airflow_provider_batchlinux.emulator.protocol.versions import SECRETS, properties_of
from airflow_provider_batchlinux.rest_schema import schema

_INT32 = range(-(2**31), 2**31)
# Read-only in the models, but clients send an image reference as they received it in an answer.
_ALSO_ACCEPTED: Mapping[str, Mapping[str, str]] = {"BatchVmImageReference": {"exactVersion": "string"}}


@cache
def result_properties(shape: str) -> frozenset[str]:
    """Return the names of all properties that a resource can have in an answer."""
    return frozenset(schema()["results"][shape])


@cache
def _properties(shape: str, api_version: str) -> Mapping[str, str]:
    properties = {**schema()["bodies"][shape]["properties"], **_ALSO_ACCEPTED.get(shape, {})}
    return properties_of(shape, api_version, properties)


def read_body(shape: str, raw: bytes, api_version: str) -> dict[str, Any]:
    """
    Return a body with converted values and without properties that are null.

    :param shape: the name of its type in the schema.
    :raises ServiceError: the body is invalid; names the first problem.
    """
    try:
        body = read_json(raw)
    except ValueError as error:
        raise invalid_body(reason=str(error)) from None
    return _read_shape(shape, body, api_version, shape)


def _read_shape(shape: str, value: Any, api_version: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid_body(reason=f"An object was expected for '{where}'.")
    known = _properties(shape, api_version)
    for name in value:
        if name not in known and not name.startswith("odata."):
            raise _unknown_property(shape, name)
    given = {
        name: _convert(known[name], item, api_version, name)
        for name, item in value.items()
        if item is not None and name in known
    }
    for name in schema()["bodies"][shape]["required"]:
        if name not in given:
            raise missing_property(name=name)
    return given


def _unknown_property(shape: str, name: str) -> ServiceError:
    entity = f"Microsoft.Azure.Batch.Protocol.Entities.{shape.removeprefix('Batch')}"
    return invalid_body(
        reason=f"The property '{name}' does not exist on type '{entity}'. "
        "Make sure to only use property names that are defined by the type."
    )


def _convert(kind: str, value: Any, api_version: str, name: str) -> Any:
    if kind.startswith("["):
        if not isinstance(value, list):
            raise invalid_body(reason=f"An array was expected for '{name}'.")
        return [_convert(kind[1:-1], item, api_version, name) for item in value]
    if kind in schema()["bodies"]:
        return _read_shape(kind, value, api_version, name)
    try:
        return _SCALARS[kind](value) if kind in _SCALARS else _read_choice(kind, value)
    except (TypeError, ValueError):
        raise refused("(secret)" if kind in SECRETS else value, of=name) from None


def _read_choice(kind: str, value: Any) -> str:
    choices = {choice.lower(): choice for choice in kind.split("|")}
    if str(value).lower() not in choices:
        raise ValueError
    return choices[str(value).lower()]


def _read_int(value: Any) -> int:
    """Return a number, also from a string as the service does; a bool is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    if (number := int(value)) not in _INT32:
        raise ValueError
    return number


def _read_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    if not isfinite(number := float(value)):
        raise ValueError
    return number


def _read_bool(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError
    return str(value).lower() == "true"


def _read_string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _read_duration(value: Any) -> str:
    return format_duration(_read_string(value))


def _read_time(value: Any) -> str:
    parse_instant(_read_string(value))
    return _read_string(value)


def _read_object(value: Any) -> Any:
    return value


_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "string": _read_string,
    "secret": _read_string,
    "duration": _read_duration,
    "time": _read_time,
    "object": _read_object,
    "secret object": _read_object,
}
