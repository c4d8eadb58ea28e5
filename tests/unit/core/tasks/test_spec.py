"""A command with its parts is read from plain values, as an operator for many commands gets them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.core.parameters.reader import read_spec_object, reader_of, readers_of
from airflow_provider_batchlinux.core.tasks.requests import TaskRequest
from airflow_provider_batchlinux.specs import AutoUserSpec, InputSpec, OutputSpec, TaskContainerSpec, TaskSpec

GIVEN: dict[str, Any] = {
    "command": "true",
    "environment": {"DAY": 1},
    "secret_environment": {"TOKEN": "s3cret-token"},
    "secret_storage": "abfs://private/",
    "inputs": {
        "a": "abfs://raw/a",
        "b": {"source": "https://fabrikam.blob.core.windows.net/raw/b?sv=1&sig=s3cret-sas", "mode": "0755"},
    },
    "outputs": {"c": {"destination": "abfs://clean/c", "optional": "true"}},
    "container": {"image": "python:3.12", "registry": {"server": "acr", "password": "s3cret-registry"}},
    "run_as": {"elevation": "admin"},
    "required_slots": "2",
    "time_limit": "PT1H",
    "max_retries": "3",
}


def test_each_part_is_read_by_its_kind() -> None:
    spec = read_spec_object(TaskSpec, "tasks[0]", GIVEN)

    assert isinstance(spec.container, TaskContainerSpec)
    assert (spec.required_slots, spec.time_limit, spec.max_retries) == (2, 3600.0, 3)
    assert spec.run_as == AutoUserSpec(elevation="admin")
    assert spec.outputs == {"c": OutputSpec("abfs://clean/c", optional=True)}
    assert isinstance(spec.inputs["b"], InputSpec)
    assert spec.problems() == []


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("inputs", {"a": "raw/a"}, "tasks[0].inputs['a']: 'raw/a' is not a URL of a blob"),
        (
            "inputs",
            {"a": {"source": "abfs://raw/a", "mode": "rwx"}},
            "tasks[0].inputs['a'].mode='rwx' is not perm",
        ),
        (
            "outputs",
            {"a": {"destination": "abfs://raw/a", "upload_on": "always"}},
            "upload_on='always' is not one of",
        ),
        ("run_as", {"scope": "node"}, "tasks[0].run_as.scope='node' is not one of pool, task"),
        ("max_retries", "often", "tasks[0].max_retries='often' is not a whole number"),
    ],
)
def test_a_part_of_another_kind_is_refused_by_its_place(name: str, value: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=r"tasks\[0\]") as raised:
        read_spec_object(TaskSpec, "tasks[0]", {**GIVEN, name: value})

    assert problem in str(raised.value)


def test_secrets_in_any_part_are_hidden_and_masked() -> None:
    secrets: set[str] = set()

    hidden = reader_of(TaskSpec).hide(GIVEN, secrets)
    shown = readers_of(TaskRequest)["inputs"].hide(
        {**GIVEN["inputs"], "odd": {"sig=s3cret-odd"}, "web": "https://me:s3cret-web@h/f"}, secrets
    )

    assert "s3cret" not in repr((hidden, shown))
    assert "https://fabrikam.blob.core.windows.net/raw/b?***" in repr(hidden)
    assert {"s3cret-web", "s3cret-token", "sv=1&sig=s3cret-sas", "s3cret-registry"} <= secrets
