"""What follows from how a task ended."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator.rules.exit_conditions import dependency_action, job_action

_ACTIONS = {"jobAction": "disable", "dependencyAction": "satisfy"}
_CODES = {"exitCodes": [{"code": 3, "exitOptions": _ACTIONS}]}
_RANGES = {"exitCodeRanges": [{"start": 2, "end": 5, "exitOptions": _ACTIONS}]}


def _ended(exit_code: int | None, failure: str = "FailureExitCode") -> dict[str, Any]:
    if exit_code == 0:
        return {"exitCode": 0, "result": "success"}
    code = {} if exit_code is None else {"exitCode": exit_code}
    return {**code, "result": "failure", "failureInfo": {"code": failure}}


@pytest.mark.parametrize(
    ("conditions", "execution", "action", "dependents"),
    [
        pytest.param({}, _ended(0), "none", "satisfy", id="success"),
        pytest.param({}, _ended(1), "terminate", "block", id="failure"),
        pytest.param(_CODES, _ended(3), "disable", "satisfy", id="listed-code"),
        pytest.param(_CODES, _ended(4), "terminate", "block", id="other-code"),
        pytest.param(_RANGES, _ended(5), "disable", "satisfy", id="end-of-range"),
        pytest.param(_RANGES, _ended(6), "terminate", "block", id="past-range"),
        pytest.param({"default": _ACTIONS}, _ended(9), "disable", "satisfy", id="default"),
        pytest.param({"default": _ACTIONS}, _ended(0), "none", "satisfy", id="success-is-never-default"),
        pytest.param({"default": _ACTIONS}, _ended(None), "disable", "satisfy", id="no-exit-code"),
        pytest.param(
            {"preProcessingError": _ACTIONS},
            _ended(None, "CommandProgramNotFound"),
            "disable",
            "satisfy",
            id="did-not-start",
        ),
        pytest.param(
            {"preProcessingError": _ACTIONS},
            _ended(None, "ContainerPoolNotSupported"),
            "disable",
            "satisfy",
            id="no-containers",
        ),
        pytest.param(
            {"preProcessingError": _ACTIONS}, _ended(1), "terminate", "block", id="did-start-and-failed"
        ),
    ],
)
def test_the_condition_that_holds_says_what_follows(
    conditions: Any, execution: Any, action: str, dependents: str
) -> None:
    spec = {"exitConditions": conditions}

    assert job_action(spec, execution) == action
    assert dependency_action(spec, execution) == dependents


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_a_range_holds_for_its_codes_and_no_others(code: int, start: int, end: int) -> None:
    ranges = [{"start": start, "end": end, "exitOptions": {"jobAction": "disable"}}]

    action = job_action({"exitConditions": {"exitCodeRanges": ranges}}, _ended(code))

    assert (action == "disable") == (start <= code <= end)
