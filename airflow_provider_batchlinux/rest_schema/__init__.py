"""
The bodies of Batch's REST API 2025-06-01, generated from the models of the azure-batch package.

Both ``core``, which checks a pool before it is sent, and the embedded service, which checks what it receives,
read this schema, and each adds a small overlay. ``python -m tests.rest_schema`` generates the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TypedDict


class BodySchema(TypedDict):
    """
    The schema of a JSON object.

    :ivar required: the names of its required properties.
    :ivar properties: the kind of each property: a scalar (``string``, ``int``, ``float``, ``bool``,
        ``duration``, ``time``, ``object``), ``secret`` or ``secret object`` for what the service never
        returns, choices joined by ``|``, the name of another schema, or one of these in brackets for a list.
    """

    required: list[str]
    properties: Mapping[str, str]


class Schema(TypedDict):
    """
    All schemas.

    :ivar bodies: the bodies of requests and their parts, by the name of their model.
    :ivar results: the names of all properties of a resource, by the name of its model.
    """

    bodies: Mapping[str, BodySchema]
    results: Mapping[str, list[str]]


@cache
def schema() -> Schema:
    """Return the schema of API version 2025-06-01."""
    text = files(__name__).joinpath("2025-06-01.json").read_text(encoding="utf-8")
    content: Schema = json.loads(text)
    return content
