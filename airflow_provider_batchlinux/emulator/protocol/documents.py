"""Read JSON that a client sent."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

_DEEPEST = 64
"""Levels of a document. Bodies of Batch have fewer than 20; recursion ends at about 1000."""


def read_json(raw: bytes) -> Any:
    """
    Return what a JSON document says; an empty one is an empty object.

    Python's reader also accepts what JSON does not have or cannot be written again: NaN, the infinities,
    numbers that overflow, and halves of surrogate pairs.

    :raises ValueError: it is no JSON document, or is nested deeper than 64 levels.
    """
    try:
        document = json.loads(raw or b"{}", parse_constant=_refuse_number, parse_float=_read_float)
        if b"\\u" in raw:
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        msg = "The body is not a JSON document."
        raise ValueError(msg) from None
    if raw.count(b"{") + raw.count(b"[") > _DEEPEST and _is_deeper(document, _DEEPEST):
        msg = f"The body is nested deeper than {_DEEPEST} levels."
        raise ValueError(msg)
    return document


def _refuse_number(text: str) -> None:
    raise ValueError(text)


def _read_float(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _is_deeper(document: Any, levels: int) -> bool:
    found = [document] if isinstance(document, dict | list) else []
    for _ in range(levels):
        inner = [each.values() if isinstance(each, dict) else each for each in found]
        found = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not found:
            return False
    return True
