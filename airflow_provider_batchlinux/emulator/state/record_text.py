"""Writes records as text and reads them back, whatever fields they have; knows no file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.emulator.state import records

__all__ = ["read_record", "write_record"]

_TAG, _CONTENT = "$", "of"
"""What JSON does not have is written as an object of these two."""

_KINDS: Mapping[str, Any] = {
    name: kind for name, kind in vars(records).items() if isinstance(kind, type) and is_dataclass(kind)
}


def write_record(record: object) -> str:
    """
    Return a record as JSON.

    :raises TypeError: it holds something that no record can be read back with.
    """
    return json.dumps(_plain(record), separators=(",", ":"))


def read_record(text: str) -> Any:
    """
    Return the record that a text stands for; fields it does not name have their defaults.

    :raises ValueError: it is not the text of a record.
    """
    try:
        record = json.loads(text, object_hook=_restored)
    except (TypeError, KeyError) as error:
        msg = f"{text[:100]!r} is not the text of a record: {error}"
        raise ValueError(msg) from error
    if not is_dataclass(record):
        msg = f"{text[:100]!r} is not the text of a record."
        raise ValueError(msg)
    return record


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        is_plain = _TAG not in value and all(isinstance(name, str) for name in value)
        pairs = [(_plain(name), _plain(item)) for name, item in value.items()]
        return dict(pairs) if is_plain else {_TAG: "mapping", _CONTENT: pairs}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {_TAG: type(value).__name__, _CONTENT: _content(value)}


def _content(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple | frozenset):
        return [_plain(item) for item in value]
    if _KINDS.get(type(value).__name__) is type(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    msg = f"A record holds {value!r}, which cannot be kept."
    raise TypeError(msg)


def _restored(found: dict[str, Any]) -> Any:
    if _TAG not in found:
        return found
    name, content = found[_TAG], found[_CONTENT]
    return _READERS[name](content) if name in _READERS else _made(_KINDS[name], content)


def _made(kind: Any, content: Mapping[str, Any]) -> Any:
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in content.items() if name in known})


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "tuple": tuple,
    "frozenset": frozenset,
    "mapping": dict,
}
