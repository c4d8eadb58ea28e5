"""
Airflow's rule for operators: ``__init__`` only assigns template fields; run by ``make check``.

Airflow's own check (``validate_operators_init``) reads the source. This one creates each operator, and looks
whether a field holds the very object that was given: so it also finds a field that a helper rewrites.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib import import_module
from typing import Any

from airflow_provider_batchlinux.get_provider_info import get_provider_info

TEMPLATE = "{{ params.value }}"
VALUES: tuple[Any, ...] = (
    TEMPLATE,
    None,
    "",
    {},
    [],
    {"name": TEMPLATE},
    [TEMPLATE],
    datetime(2026, 1, 1, tzinfo=timezone.utc),
)
"""What a Dag may give; each is tried for each field."""

POOL = {"image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}
"""What a create needs beside its required parameters, unless a ``body`` says it."""


def operators() -> list[type]:
    """Return the public operators and sensors."""
    info = get_provider_info()
    modules = [
        name for kind in ("operators", "sensors") for group in info[kind] for name in group["python-modules"]
    ]
    found = [getattr(module, name) for module in map(import_module, modules) for name in module.__all__]
    return [cls for cls in found if inspect.isclass(cls) and hasattr(cls, "template_fields")]


def findings(cls: type) -> Iterator[str]:
    """Yield what an operator's ``__init__`` does to a template field beside assigning it."""
    signature = _parameters(cls)
    for field in cls.template_fields:  # type: ignore[attr-defined]
        if field not in signature:
            yield f"{cls.__name__}.{field} is a template field without a parameter of that name."
            continue
        for value in VALUES:
            try:
                held = getattr(cls(**_arguments(cls, field, value)), field)
            except (TypeError, ValueError) as error:
                if value is TEMPLATE:
                    yield f"{cls.__name__}.{field} refuses a template: {error}"
                continue
            if held is not value:
                yield f"{cls.__name__}.{field}={value!r} becomes {held!r}."
                break


def main() -> int:
    """Print all findings; return 1 if there are any."""
    found = [finding for cls in operators() for finding in findings(cls)]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    each = [inspect.signature(base.__init__).parameters for base in reversed(cls.__mro__)]  # type: ignore[misc]
    return {name: parameter for parameters in each for name, parameter in parameters.items()}


def _arguments(cls: type, field: str, value: object) -> dict[str, object]:
    own = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    required = [name for name, parameter in own.items() if parameter.default is parameter.empty]
    needed = POOL if {"image", "body"} <= own.keys() and field != "body" else {}
    given = {name: "etl" for name in required if name not in ("self", "kwargs")}
    return {"task_id": "task", **given, **needed, field: value}


if __name__ == "__main__":
    sys.exit(main())
