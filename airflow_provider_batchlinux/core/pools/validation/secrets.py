"""Which values of a pool's REST body are secrets; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_batchlinux.core.pools.validation.schema import POOL, SHAPES
from airflow_provider_batchlinux.core.secrets import hidden_value

__all__ = ["hidden_body"]


def hidden_body(value: Any, shape: str = POOL) -> Any:
    """
    Give a body as a dict whose secrets Airflow masks wherever it shows them.

    :param value: the body, or a part of it; what does not fit the shape is left as it is.
    :param shape: the shape of the part.
    """
    if isinstance(value, (list, tuple)):
        return [hidden_body(item, shape) for item in value]
    if not isinstance(value, Mapping) or shape not in SHAPES:
        return value
    kinds = {name.removesuffix("!"): kind for name, kind in SHAPES[shape].items()}
    return {name: _hidden(kinds.get(name, ""), item) for name, item in value.items()}


def _hidden(kind: str, value: Any) -> Any:
    if kind.startswith("secret"):
        return hidden_value(value)
    return hidden_body(value, kind.split("]")[0].removeprefix("["))
