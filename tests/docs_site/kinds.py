"""What a parameter may be, in words: from the types of the request classes."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from airflow_provider_batchlinux.core.parameters.kinds import ALL_IF_NONE
from airflow_provider_batchlinux.core.parameters.reader import reader_of
from airflow_provider_batchlinux.core.parameters.spec import Spec
from tests.docs_site.restructured_text import code

__all__ = ["kind_in_words"]


def kind_in_words(declared: Any) -> str:
    """Return what a value of a declared type may be."""
    origin, arguments = get_origin(declared), get_args(declared)
    if origin is Annotated and ALL_IF_NONE in arguments:
        return f"{kind_in_words(arguments[0])}, which selects all"
    if origin in (Union, UnionType):
        members = [kind_in_words(member) for member in arguments if member is not type(None)]
        return "; or ".join([*members, *(["``None``"] if type(None) in arguments else [])])
    if origin is Literal:
        return f"one of {', '.join(map(code, arguments))}"
    if origin is tuple:
        return f"a list, of which each item is {kind_in_words(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping, of which each value is {kind_in_words(arguments[1])}"
    if isinstance(declared, type) and issubclass(declared, Spec):
        return (
            f":class:`~airflow_provider_batchlinux.specs.{declared.__name__}`, or a mapping with its fields"
        )
    return reader_of(declared).what.replace("*", "\\*")
