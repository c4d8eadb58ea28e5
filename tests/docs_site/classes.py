"""The reference of classes: operators, sensors, groups, decorators, triggers, hooks, specs, errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields, is_dataclass
from datetime import timedelta
from types import ModuleType
from typing import Any, get_type_hints

from airflow.sdk import BaseOperator

from airflow_provider_batchlinux import exceptions, specs
from airflow_provider_batchlinux.core.parameters.reader import readers_of
from airflow_provider_batchlinux.core.parameters.spec import Spec
from airflow_provider_batchlinux.operators._waiting import DEFAULT_DEFERRABLE
from tests.docs_site.docstrings import description, documented, ours, parameters
from tests.docs_site.kinds import kind_in_words
from tests.docs_site.restructured_text import code, definitions, heading, indented, linked, page

__all__ = ["errors_page", "module_page", "specs_page"]

_TEMPLATED = "(templated)"


def module_page(module: ModuleType, title: str) -> str:
    """Return the page of a module: its public classes and functions."""
    parts = [_entry(getattr(module, name)) for name in module.__all__ if not name.isupper()]
    return page(title, f".. py:module:: {module.__name__}", description(module.__doc__), *parts)


def specs_page() -> str:
    """Return the page of the spec objects and formulas."""
    parts = [_entry(getattr(specs, name)) for name in specs.__all__]
    return page("Spec objects", f".. py:module:: {specs.__name__}", description(specs.__doc__), *parts)


def errors_page(remedies: str) -> str:
    """
    Return the page of the errors.

    :param remedies: what helps against error codes of the service.
    """
    first, _, tree = inspect.cleandoc(exceptions.__doc__ or "").partition("\n\n")
    tree, _, last = tree.rpartition("\n\n")
    classes = [getattr(exceptions, name) for name in exceptions.__all__ if name[0].isupper()]
    parts = [_class(cls) for cls in classes]
    return page(
        "Errors",
        f".. py:module:: {exceptions.__name__}",
        f"{first}\n\n.. code-block:: text\n\n{indented(tree)}\n\n{last}",
        heading("Remedies by error code", "-"),
        remedies,
        heading("Classes", "-"),
        *parts,
    )


def _entry(value: Any) -> str:
    name = value.__name__
    if not inspect.isclass(value):
        text = f"{heading(name, '-')}\n\n.. py:function:: {name}{_signature(value)}\n\n"
        return text + indented(linked(inspect.cleandoc(value.__doc__ or "")))
    return f"{heading(name, '-')}\n\n{_class(value)}"


def _class(cls: type) -> str:
    said = linked(description(cls.__doc__))
    parts = [f".. py:class:: {cls.__name__}", indented(said), indented(_parameters(cls))]
    if not issubclass(cls, (BaseOperator, Spec, Exception)):
        parts += [indented(_method(method)) for method in _methods(cls)]
    return "\n\n".join(filter(str.strip, parts))


def _parameters(cls: type) -> str:
    """Return each parameter of a class: what it is for, may be and is by default."""
    said: dict[str, str] = {}
    for base in ours(cls):
        said = {**said, **{name: text for name, text in documented(base.__doc__).items() if name not in said}}
    is_spec = is_dataclass(cls) and not issubclass(cls, BaseOperator)  # Airflow's is a dataclass, too
    facts = _facts_of_spec(cls) if is_spec else _facts_of_operator(cls)
    return definitions(
        {code(name): "\n\n".join([_sentence(text), *facts(name)]) for name, text in said.items()}
    )


def _sentence(said: str) -> str:
    text = linked(inspect.cleandoc(said).removesuffix(_TEMPLATED).rstrip())
    return text[:1].upper() + text[1:]


def _facts_of_operator(cls: Any) -> Callable[[str], Iterable[str]]:
    spelled = parameters(cls)
    has_request = issubclass(cls, BaseOperator) and hasattr(cls, "request_class")
    request = cls.request_class() if has_request else None
    hints = get_type_hints(request, include_extras=True) if request is not None else {}

    def facts(name: str) -> Iterable[str]:
        parts = [f"*Kind:* {kind_in_words(hints[name])}."] if name in hints else []
        if name in spelled:
            parts.append(f"*Default:* {_default(name, spelled[name].default)}.")
        if name in getattr(cls, "template_fields", ()):
            parts.append("*Templated.*")
        if request is not None and name in hints and readers_of(request)[name].is_secret:
            parts.append("*Secrets in it are hidden.*")
        return [" ".join(parts)]

    return facts


def _facts_of_spec(cls: Any) -> Callable[[str], Iterable[str]]:
    named: dict[str, Any] = {field.name: field for field in fields(cls)}

    def facts(name: str) -> Iterable[str]:
        field = named[name]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        parts = [f"*Default:* {_default(name, inspect.Parameter.empty if default is MISSING else default)}."]
        if place := getattr(cls, "REST", {}).get(name):
            parts.append(f"*In the REST body:* {code(place)}.")
        if not field.repr:
            parts.append("*Hidden.*")
        return [" ".join(parts)]

    return facts


def _default(name: str, value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "none; it is required"
    if name == "deferrable" and value is DEFAULT_DEFERRABLE:
        return "Airflow's ``[operators] default_deferrable``"
    if isinstance(value, timedelta):
        return f"{code(f'{value.total_seconds():g}')} seconds"
    return code(repr(value))


def _methods(cls: type) -> list[Any]:
    return [
        value
        for name, value in vars(cls).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__doc__", None)
    ]


def _method(method: Any) -> str:
    prefix = ".. py:method:: "
    said = linked(inspect.cleandoc(method.__doc__ or ""))
    return f"{prefix}{method.__name__}{_signature(method)}\n\n{indented(said)}"


def _signature(function: Any) -> str:
    """Return the names and defaults of a function's parameters; the types are those of Python's hints."""
    signature = inspect.signature(function)
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))
