"""The REST body of a pool is read by the schema; problems name the place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.instants import duration_seconds
from airflow_provider_batchlinux.core.pools.validation.schema import read_body, rest_name
from tests.unit.core.pools.models import pool_models

BODY = {
    "id": "etl",
    "vmSize": "standard_d2s_v5",
    "virtualMachineConfiguration": {"imageReference": {}, "nodeAgentSKUId": "agent"},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(sorted({name for kinds in pool_models().values() for name in kinds}))


def messages(body: Any) -> list[str]:
    return [problem.message(rest_name) for problem in read_body(body)[1]]


def test_a_body_without_problems_is_read_as_it_is() -> None:
    assert read_body(BODY) == (BODY, [])


def test_numbers_truth_values_and_choices_are_read_as_templates_and_people_write_them() -> None:
    given_body = {
        **BODY,
        "targetDedicatedNodes": "3",
        "enableInterNodeCommunication": "True",
        "taskSchedulingPolicy": {"nodeFillType": "pack", "jobDefaultOrder": None},
    }
    body, problems = read_body(given_body)

    assert problems == []
    assert (body["targetDedicatedNodes"], body["enableInterNodeCommunication"]) == (3, True)
    assert body["taskSchedulingPolicy"] == {"nodeFillType": "Pack"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"taskSlots": 4}, "did you mean 'taskSlotsPerNode'?", id="a near name"),
        pytest.param({"zzz": 4}, "zzz is not a known property of the service.", id="a strange name"),
        pytest.param({"vmSize": None}, "vmSize is missing.", id="missing"),
        pytest.param({"vmSize": 7}, "vmSize=7 is not text", id="a number for a text"),
        pytest.param({"taskSlotsPerNode": "four"}, "='four' is not a whole number.", id="no number"),
        pytest.param({"enableAutoScale": 1}, "enableAutoScale=1 is not true or false.", id="no truth value"),
        pytest.param(
            {"resizeTimeout": "15m"}, "is not an ISO 8601 duration such as PT15M.", id="no duration"
        ),
        pytest.param({"startTask": "true"}, "startTask is not a mapping of properties.", id="no mapping"),
        pytest.param({"metadata": "a=b"}, "metadata is not a list.", id="no list"),
        pytest.param({"metadata": [{"name": "a"}]}, "metadata[0].value is missing.", id="inside a list"),
        pytest.param(
            {"upgradePolicy": {"mode": "never"}},
            "upgradePolicy.mode='never' is none of 'automatic', 'manual', 'rolling'.",
            id="no choice",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(change: dict[str, Any], problem: str) -> None:
    [found] = messages({**BODY, **change})

    assert problem in found


def test_all_that_is_wrong_is_named_at_once() -> None:
    assert len(messages({"id": 1, "taskSlotsPerNode": "few", "color": "red", "userAccounts": [{}, 3]})) == 8


@pytest.mark.parametrize(
    ("change", "is_unknown"),
    [
        pytest.param({"color": "red"}, True, id="property"),
        pytest.param({"upgradePolicy": {"mode": "never"}}, True, id="value"),
        pytest.param({"upgradePolicy": {"mode": 3}}, False, id="value of another type"),
        pytest.param({"taskSlotsPerNode": "four"}, False, id="no number"),
        pytest.param({"vmSize": None}, False, id="missing"),
    ],
)
def test_what_a_later_service_may_know_is_unknown_and_kept(change: dict[str, Any], is_unknown: bool) -> None:
    body, [problem] = read_body({**BODY, **change})

    assert problem.is_unknown == is_unknown
    assert body == {**BODY, **change} or not is_unknown


def test_no_message_shows_a_secret() -> None:
    secret = {"httpUrl": 12345678, "storageContainerUrl": ["12345678"]}
    problems = messages({**BODY, "startTask": {"commandLine": "x", "resourceFiles": [secret]}})

    assert len(problems) == 2
    assert "12345678" not in "".join(problems)


@given(st.dictionaries(NAMES, JSON, max_size=6) | JSON)
def test_whatever_the_body_is_it_has_a_verdict_that_holds(body: Any) -> None:
    read, problems = read_body(body)

    assert all(problem.message(rest_name).endswith((".", "?")) for problem in problems)
    if not problems:
        assert read_body(read) == (read, [])


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
    assert duration_seconds(text) == seconds
