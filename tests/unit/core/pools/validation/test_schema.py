"""What a REST body may hold is what the service's own package knows, and what breaks it is named."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
from azure.batch import models
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux import emulator
from airflow_provider_batchlinux.core.pools.validation.schema import POOL, SHAPES
from airflow_provider_batchlinux.core.pools.validation.validate import read_shape, rest_name, seconds_in

BODIES = json.loads(files(emulator).joinpath("data/shapes.json").read_text(encoding="utf-8"))["bodies"]
BODY = {
    "id": "etl",
    "vmSize": "standard_d2s_v5",
    "virtualMachineConfiguration": {"imageReference": {}, "nodeAgentSKUId": "agent"},
}
ONLY_IN_ANSWERS = {"exactVersion"}
DEMANDED_BY_WORDS = {"virtualMachineConfiguration"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(sorted({name.removesuffix("!") for shape in SHAPES.values() for name in shape}))


def told(body: Any) -> list[str]:
    return [problem.text(rest_name) for problem in read_shape(POOL, body)[1]]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_has_the_properties_of_the_sdk(shape: str) -> None:
    model = type(getattr(models, shape)({}))
    names = {field._rest_name for field in model._attr_to_rest_field.values()}

    assert {name.removesuffix("!") for name in SHAPES[shape]} == names - ONLY_IN_ANSWERS


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_demands_what_the_sdk_demands_and_types_it_alike(shape: str) -> None:
    kinds = {
        name.removesuffix("!"): re.sub(r" -?\d+\.\.\d*$", "", kind) for name, kind in SHAPES[shape].items()
    }
    plain = {name: kind.replace("secret object", "object") for name, kind in kinds.items()}
    required = {name.removesuffix("!") for name in SHAPES[shape] if name.endswith("!")}

    assert required - DEMANDED_BY_WORDS == set(BODIES[shape]["required"])
    assert {name: kind.replace("secret", "string") for name, kind in plain.items()} == {
        name: kind for name, kind in BODIES[shape]["properties"].items() if name not in ONLY_IN_ANSWERS
    }


def test_a_body_without_problems_is_read_as_it_is() -> None:
    assert read_shape(POOL, BODY) == (BODY, [])


def test_numbers_truth_values_and_choices_are_read_as_templates_and_people_write_them() -> None:
    given_body = {
        **BODY,
        "targetDedicatedNodes": "3",
        "enableInterNodeCommunication": "True",
        "taskSchedulingPolicy": {"nodeFillType": "Pack", "jobDefaultOrder": None},
    }
    body, problems = read_shape(POOL, given_body)

    assert problems == []
    assert (body["targetDedicatedNodes"], body["enableInterNodeCommunication"]) == (3, True)
    assert body["taskSchedulingPolicy"] == {"nodeFillType": "pack"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"taskSlots": 4}, "did you mean 'taskSlotsPerNode'?", id="a near name"),
        pytest.param({"zzz": 4}, "zzz is not a property of the service; known are id,", id="a strange name"),
        pytest.param({"vmSize": None}, "vmSize is missing.", id="missing"),
        pytest.param({"vmSize": 7}, "vmSize=7 is not a text", id="a number for a text"),
        pytest.param(
            {"taskSlotsPerNode": 257}, "taskSlotsPerNode=257 is more than 256.", id="too many slots"
        ),
        pytest.param({"taskSlotsPerNode": "four"}, "='four' is not a whole number.", id="no number"),
        pytest.param({"enableAutoScale": 1}, "enableAutoScale=1 is not true or false.", id="no truth value"),
        pytest.param({"displayName": "x" * 1025}, "is more than 1024 characters.", id="a long name"),
        pytest.param({"resizeTimeout": "PT4M"}, "resizeTimeout='PT4M' is less than 300 s.", id="too short"),
        pytest.param(
            {"resizeTimeout": "15m"}, "is not an ISO 8601 duration such as PT15M.", id="no duration"
        ),
        pytest.param({"autoScaleEvaluationInterval": "P8D"}, "is more than 604800 s.", id="over a week"),
        pytest.param({"startTask": "true"}, "startTask is not a mapping of properties.", id="no mapping"),
        pytest.param({"metadata": "a=b"}, "metadata is not a list.", id="no list"),
        pytest.param({"metadata": [{"name": "a"}]}, "metadata[0].value is missing.", id="inside a list"),
        pytest.param(
            {"applicationPackageReferences": [{"applicationId": "a"}] * 11},
            "has 11 entries; at most 10 are allowed.",
            id="too many",
        ),
        pytest.param(
            {"upgradePolicy": {"mode": "never"}},
            "upgradePolicy.mode='never' is none of 'automatic', 'manual', 'rolling'.",
            id="no choice",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(change: dict[str, Any], problem: str) -> None:
    [found] = told({**BODY, **change})

    assert problem in found


def test_all_that_is_wrong_is_named_at_once() -> None:
    assert len(told({"id": 1, "taskSlotsPerNode": 0, "color": "red", "userAccounts": [{}, 3]})) == 8


def test_no_message_shows_a_secret() -> None:
    secret = {"httpUrl": 12345678, "storageContainerUrl": ["12345678"]}
    problems = told({**BODY, "startTask": {"commandLine": "x", "resourceFiles": [secret]}})

    assert len(problems) == 2
    assert "12345678" not in "".join(problems)


@given(st.dictionaries(NAMES, JSON, max_size=6) | JSON)
def test_whatever_the_body_is_it_has_a_verdict_that_holds(body: Any) -> None:
    read, problems = read_shape(POOL, body)

    assert all(problem.text(rest_name).endswith((".", "?")) for problem in problems)
    if not problems:
        assert read_shape(POOL, read) == (read, [])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("PT15M", 900, id="minutes"),
        pytest.param("P1DT2H3M4.5S", 93_784.5, id="all units"),
        pytest.param("PT", None, id="nothing"),
        pytest.param("P1M", None, id="a month has no length"),
        pytest.param("900", None, id="a number"),
    ],
)
def test_durations_are_read(text: str, seconds: float | None) -> None:
    assert seconds_in(text) == seconds
