"""
How the API's versions differ from 2025-06-01, which every other module speaks; decides nothing else.

``data/versions.json`` tells it for the versions that Microsoft's clients send: the properties of bodies
that came (``absent``) or went (``added``) since, as the clients and the published description have them;
properties that answers always ``shown`` or keep ``hidden``; operations that are ``missing`` or ``refused``.
A version between two of them is taken for the later one, one before all of them for the earliest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.data_files import read_data
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused_query
from airflow_provider_batchlinux.rest_schema import schema

NEWEST = "2025-06-01"
_SHAPES: Mapping[str, str] = {
    "pools": "BatchPoolCreateOptions",
    "jobs": "BatchJobCreateOptions",
    "tasks": "BatchTaskCreateOptions",
    "jobschedules": "BatchJobScheduleCreateOptions",
}
"""Sets of resources, and the bodies that are shown again in them."""
_PARTS: Mapping[str, Mapping[str, str]] = {
    "nodes": {"startTask": "BatchStartTask"},
    "extensions": {"vmExtension": "VMExtension"},
}
"""Sets of other resources, and their properties that show part of a body again."""

_COMPANIONS = {"currentNodeCommunicationMode": "targetNodeCommunicationMode"}
"""What only answers have, and the property of bodies that came and went with it."""

SECRETS = frozenset({"secret", "secret object"})
"""The kinds of properties that the service takes and never gives back."""


@dataclass(frozen=True)
class _Pruned:
    """Properties that an answer leaves out, also in nested objects."""

    names: frozenset[str]
    nested: Mapping[str, _Pruned]


def check_version(version: str) -> None:
    """
    Raise an error for a missing or unknown API version.

    :raises ServiceError: for an unknown version with the code in Azure/azure-sdk-for-python#19224; the
        text of the reason is assumed.
    """
    if not version:
        values = {"QueryParameterName": "api-version"}
        raise ServiceError(Code.MISSING_REQUIRED_QUERY_PARAMETER, values)
    if version not in _known():
        reason = "The API version is not one of the service."
        raise refused_query(version, of="api-version", reason=reason)


def check_operation(version: str, operation: str) -> None:
    """
    Raise an error for an operation that a version does not have, or not for this kind of pool.

    :raises ServiceError: the answer of the service under that version.
    """
    differences = _differences(version)
    if operation in differences.get("missing", ()):
        raise ServiceError(Code.RESOURCE_NOT_FOUND)
    if operation in differences.get("refused", {}):
        code, reason = differences["refused"][operation]
        raise ServiceError(code, {"Reason": reason})


def properties_of(shape: str, version: str, properties: Mapping[str, str]) -> Mapping[str, str]:
    """
    Return the properties that a body has under a version, with their kinds.

    :param properties: those that it has under the newest version.
    """
    difference = _differences(version).get("bodies", {}).get(shape, {})
    kept = {name: kind for name, kind in properties.items() if name not in difference.get("absent", ())}
    return {**kept, **difference.get("added", {})}


def older_names(version: str, set_name: str) -> frozenset[str]:
    """Return the properties of a resource that a version has, but not the newest."""
    bodies = _differences(version).get("bodies", {})
    return frozenset(bodies.get(_SHAPES.get(set_name, ""), {}).get("added", ()))


def as_of(version: str, set_name: str, view: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a resource as a version shows it, without secrets and what the version does not know."""
    differences = _differences(version)
    if hidden := differences.get("hidden", {}).get(set_name):
        view = _without(view, frozenset(hidden))
    if set_name in _PARTS:
        parts = {name: _pruned(version, shape) for name, shape in _PARTS[set_name].items()}
        return _prune(view, _Pruned(frozenset(), parts))
    if set_name not in _SHAPES:
        return view
    pruned = _pruned(version, _SHAPES[set_name])
    companions = [name for name, of in _COMPANIONS.items() if of in pruned.names]
    if companions:
        view = {name: value for name, value in view.items() if name not in companions}
    return {**_prune(view, pruned), **_shown(differences, set_name, view)}


def without_secrets(shape: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body as the newest version shows it again."""
    return _prune(body, _pruned(NEWEST, shape))


def _shown(differences: Mapping[str, Any], set_name: str, view: Mapping[str, Any]) -> dict[str, Any]:
    always = differences.get("shown", {}).get(set_name, {})
    return {name: value for name, value in always.items() if name not in view}


def _prune(view: Mapping[str, Any], pruned: _Pruned) -> dict[str, Any]:
    kept = {name: value for name, value in view.items() if name not in pruned.names}
    for name, inner in pruned.nested.items():
        if isinstance(value := kept.get(name), Mapping):
            kept[name] = _prune(value, inner)
        elif isinstance(value, list):
            kept[name] = [_prune(item, inner) for item in value]
    return kept


def _without(view: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {
        name: _without(value, names) if isinstance(value, Mapping) else value
        for name, value in view.items()
        if name not in names
    }


@cache
def _pruned(version: str, shape: str) -> _Pruned:
    """Return what is left out of a shape: secrets, what came later, and what only other versions have."""
    every = [table["bodies"].get(shape, {}) for table in read_data("versions")["differences"].values()]
    own = _differences(version).get("bodies", {}).get(shape, {})
    added = {name for difference in every for name in difference.get("added", ())}
    properties = schema()["bodies"][shape]["properties"]
    secrets = {name for name, kind in properties.items() if kind in SECRETS}
    names = added - set(own.get("added", ())) | set(own.get("absent", ())) | secrets
    nested = {
        name: _pruned(version, kind.strip("[]"))
        for name, kind in properties.items()
        if kind.strip("[]") in schema()["bodies"]
    }
    return _Pruned(
        frozenset(names), {name: inner for name, inner in nested.items() if inner.names or inner.nested}
    )


@cache
def _differences(version: str) -> Mapping[str, Any]:
    """Return the differences of a version from the newest."""
    tables: Mapping[str, Mapping[str, Any]] = read_data("versions")["differences"]
    ascending = sorted(tables)
    position = bisect_left(ascending, version)
    return tables[ascending[position]] if position < len(ascending) else {}


@cache
def _known() -> frozenset[str]:
    return frozenset(read_data("versions")["known"])
