"""The check that ``__init__`` only assigns template fields finds what breaks the rule, and nothing else."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from tests.operator_init import findings, operators

STRUCTURED = re.compile(r"\b(list|dict|Sequence|Mapping|\w+Spec|KeyDestination)\b")
"""What in the type of a parameter says that its value may have parts."""


class Assigns(BaseOperator):
    template_fields = ("names",)

    def __init__(self, *, names: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = names


class Replaces(BaseOperator):
    template_fields = ("names",)

    def __init__(self, *, names: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = names or []


class Rewrites(Assigns):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _rewrite(self)


class Judges(Assigns):
    def __init__(self, *, names: Any = None, **kwargs: Any) -> None:
        super().__init__(names=names, **kwargs)
        if names not in (None, "a"):
            msg = "names is not 'a'."
            raise ValueError(msg)


def _rewrite(operator: Any) -> None:
    if isinstance(operator.names, dict):
        operator.names = dict(operator.names)


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        pytest.param(Assigns, None, id="it assigns"),
        pytest.param(Replaces, "Replaces.names=None becomes [].", id="it replaces a value"),
        pytest.param(Rewrites, "Rewrites.names={} becomes {}.", id="a helper rewrites a value"),
        pytest.param(Judges, "Judges.names refuses a template: names is not 'a'.", id="it judges a template"),
    ],
)
def test_it_finds_what_breaks_the_rule(cls: type, expected: str | None) -> None:
    found = list(findings(cls))

    assert expected in found if expected is not None else found == []


def test_all_public_operators_and_sensors_are_checked() -> None:
    names = {cls.__name__ for cls in operators()}

    assert {"BatchLinuxCreatePoolOperator", "BatchLinuxNodesIdleSensor", "BatchLinuxTaskOperator"} <= names


@pytest.mark.parametrize("cls", operators())
def test_each_template_field_that_may_be_structured_has_a_renderer(cls: Any) -> None:
    each = [inspect.signature(base.__init__).parameters for base in reversed(cls.__mro__)]
    types = {name: str(parameter.annotation) for found in each for name, parameter in found.items()}
    structured = [name for name in cls.template_fields if STRUCTURED.search(types[name])]

    assert [name for name in structured if name not in cls.template_fields_renderers] == []


@pytest.mark.parametrize("cls", operators())
def test_only_template_fields_have_a_renderer(cls: Any) -> None:
    assert set(cls.template_fields_renderers) <= set(cls.template_fields)
