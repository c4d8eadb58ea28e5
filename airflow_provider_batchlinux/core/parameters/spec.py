"""The base of all spec objects: conversion of fields to dicts and REST bodies, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from datetime import timedelta
from difflib import get_close_matches
from enum import Enum
from typing import Any, ClassVar, TypeVar

from airflow_provider_batchlinux.core.instants import iso8601_duration
from airflow_provider_batchlinux.core.parameters.kinds import decoded
from airflow_provider_batchlinux.core.secrets import hide_whole

Path = tuple[str | int, ...]
"""The place of a value in a body: names of properties and positions in lists."""

S = TypeVar("S", bound="Spec")


@dataclass(frozen=True)
class Spec:
    """
    The base of the spec objects.

    A field with ``repr=False`` is a secret and never shown. A field accepts a dict instead of a spec object,
    and text instead of a number, because templates render text.

    :cvar REST: the place of each field in the REST body, as names with dots between them; a spec object
        with the empty place adds its own places to it.
    :cvar PARTS: the fields that hold spec objects, or lists of them, with the classes they may have.
    """

    REST: ClassVar[Mapping[str, str]] = {}
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {}

    def __post_init__(self) -> None:
        """Convert dicts to spec objects; computed values are converted when the task runs."""
        problems: list[str] = []
        for name, classes in self.PARTS.items():
            value = getattr(self, name)
            if not _is_computed(value):
                value = read_part(classes, value, f"{type(self).__name__}.{name}", problems)
                object.__setattr__(self, name, value)
        if problems:
            raise ValueError("\n".join(problems))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults as plain values, including secrets."""
        return {
            spec_field.name: plain_spec(getattr(self, spec_field.name))
            for spec_field in fields(self)
            if not _is_default(spec_field, getattr(self, spec_field.name))
        }

    def to_rest(self) -> dict[str, Any]:
        """Return the part of the body that this object defines; what is ``None`` or empty is left out."""
        body: dict[str, Any] = {}
        for name, place in self.REST.items():
            value = getattr(self, name)
            if value is not None and not _is_empty(value):
                put(body, place, rest_value(value))
        return body

    def name_of(self, path: Path) -> str | None:
        """
        Return the field that defines a place of the REST body, such as ``endpoints[0].port``.

        :param path: a place in what :meth:`to_rest` builds.
        :return: ``None`` if no field does.
        """
        places = {name: tuple(place.split(".")) if place else () for name, place in self.REST.items()}
        inside = [(name, place) for name, place in places.items() if place == path[: len(place)]]
        for name, place in sorted(inside, key=lambda pair: -len(pair[1])):
            rest = _name_inside(getattr(self, name), path[len(place) :], is_merged=not place)
            if rest is not None:
                return f"{name}{rest}"
        return next((name for name, place in places.items() if path and path == place[: len(path)]), None)


def put(body: dict[str, Any], place: str, value: Any) -> None:
    """Put a value at a place of a body, given as names with dots between them; empty for the body."""
    for name in reversed(place.split(".") if place else ()):
        value = {name: value}
    merge(body, value)


def merge(body: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Add a part to a body: mappings grow, lists are joined, anything else is replaced."""
    for name, value in part.items():
        found = body.get(name)
        if isinstance(found, dict) and isinstance(value, Mapping):
            merge(found, value)
        elif isinstance(found, list) and isinstance(value, list):
            found.extend(value)
        else:
            body[name] = dict(value) if isinstance(value, Mapping) else value


def rest_value(value: Any) -> Any:
    """Return a field's value in the form of the REST API."""
    if isinstance(value, Spec):
        return value.to_rest()
    if isinstance(value, timedelta):
        return iso8601_duration(value.total_seconds())
    if isinstance(value, (list, tuple)):
        return [rest_value(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def plain_spec(value: Any) -> Any:
    """Return spec objects as dicts, also in lists, durations in seconds, and the values of enums."""
    if isinstance(value, Spec):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (list, tuple)):
        return [plain_spec(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain_spec(item) for key, item in value.items()}
    return value


def hidden_spec(classes: tuple[type[Spec], ...], value: object, secrets: set[str]) -> object:
    """
    Return a spec object, or the dict of one, as a dict in which each secret is replaced.

    What is in the place of a spec object and has none of its fields is replaced as a whole.

    :param classes: the classes the object may have.
    :param secrets: takes the texts of the secrets, except environment variables: most of these are ordinary
        words, which must not be masked wherever they occur.
    """
    if isinstance(value, Spec):
        return hidden_spec((type(value),), value.to_dict(), secrets)
    if isinstance(value, (list, tuple)):
        return [hidden_spec(classes, item, secrets) for item in value]
    if not isinstance(value, Mapping):
        return hide_whole(value, secrets)
    shown = {spec_field.name for cls in classes for spec_field in fields(cls) if spec_field.repr}
    parts = {name: inner for cls in classes for name, inner in cls.PARTS.items()}
    return {
        key: hidden_spec(parts[key], item, secrets)
        if key in parts
        else plain_spec(item)
        if key in shown
        else hide_whole(item, set() if key == "environment" else secrets)
        for key, item in value.items()
    }


def read_spec(cls: type[S], value: object, where: str, problems: list[str]) -> S | None:
    """
    Read a spec object from a dict with its fields.

    :param where: the parameter's name, for messages.
    :param problems: the list to which problems with field names are added.
    :return: ``None`` if there is a problem.
    """
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        article = "an" if cls.__name__[0] in "AEIOU" else "a"
        problems.append(f"{where} is neither {article} {cls.__name__} nor a dict with its fields.")
        return None
    known = {spec_field.name: spec_field for spec_field in fields(cls)}
    wrong = [_unknown(where, key, known) for key in value if key not in known]
    wrong += [f"{where}.{name} is missing." for name, item in known.items() if _is_missing(item, value)]
    given = {
        name: read_part(cls.PARTS[name], item, f"{where}.{name}", wrong) if name in cls.PARTS else item
        for name, item in value.items()
        if name in known and not (item is None and known[name].default is not MISSING)
    }
    problems.extend(wrong)
    return None if wrong else cls(**given)


def read_part(classes: tuple[type[Spec], ...], value: Any, where: str, problems: list[str]) -> Any:
    """
    Read a spec object of one of some classes, or a list of them.

    :param classes: the classes; for a dict, the class whose fields match best is used.
    :param value: a spec object, a dict with its fields, a list of these, or ``None``.
    :param where: the parameter's name, for messages.
    :param problems: the list to which problems with field names are added.
    :return: the spec objects; an item with a problem is left out.
    """
    value = decoded(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        items = [read_part(classes, item, f"{where}[{at}]", problems) for at, item in enumerate(value)]
        return tuple(item for item in items if item is not None)
    if value is None or isinstance(value, classes):
        return value
    if not isinstance(value, Mapping):
        return read_spec(classes[0], value, where, problems)
    # The class whose fields match best: its problems are those of a spelling mistake, not of another class.
    return read_spec(min(classes, key=lambda cls: len(_misfits(cls, value))), value, where, problems)


def _is_computed(value: object) -> bool:
    """Return whether a value is a template, or an XCom that has no value yet."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, Sequence):
        return any(map(_is_computed, value))
    return not isinstance(value, (Spec, Mapping, bool, int, float, type(None)))


def _misfits(cls: type[Spec], value: Mapping[str, Any]) -> set[str]:
    names = {spec_field.name: spec_field for spec_field in fields(cls)}
    missing = {name for name, spec_field in names.items() if _is_missing(spec_field, value)}
    return (set(value) - set(names)) | missing


def _is_missing(spec_field: Field[Any], value: Mapping[str, Any]) -> bool:
    has_default = spec_field.default is not MISSING or spec_field.default_factory is not MISSING
    return not has_default and value.get(spec_field.name) is None


def _unknown(where: str, key: object, known: Mapping[str, Any]) -> str:
    near = get_close_matches(str(key), known, n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
    return f"{where}.{key} is no field of it; {remedy}"


def _is_default(spec_field: Field[Any], value: Any) -> bool:
    if spec_field.default is not MISSING and value == spec_field.default:
        return True
    is_required = spec_field.default is MISSING and spec_field.default_factory is MISSING
    return spec_field.default is not None and not is_required and _is_empty(value)


def _is_empty(value: Any) -> bool:
    return isinstance(value, (list, tuple, Mapping)) and not value


def _name_inside(value: Any, path: Path, *, is_merged: bool = False) -> str | None:
    if isinstance(value, Spec) and path:
        inner = value.name_of(path)
        return f".{inner}" if inner is not None else None if is_merged else _spelled(path)
    if is_merged:
        return None
    if isinstance(value, (list, tuple)) and path and isinstance(path[0], int):
        first, rest = path[0], path[1:]
        inside = _name_inside(value[first], rest) if first < len(value) else None
        return f"[{first}]{inside}" if inside is not None else None
    return _spelled(path)


def _spelled(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
