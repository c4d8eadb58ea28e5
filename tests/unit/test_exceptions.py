"""Errors keep their facts on the way from one of Airflow's processes to another."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.images.resolve import ImageNotFoundError
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchConflictError,
    BatchLinuxError,
    BatchQuotaError,
    BatchRequestError,
    BatchUnreachableError,
    NodeCommandError,
    NodeUsersError,
    PoolNotReadyError,
    TaskFailedError,
    WaitTimeoutError,
    error_from_payload,
    error_to_payload,
)

ERRORS = [
    pytest.param(BatchLinuxError("Odd."), id="base"),
    pytest.param(BatchRequestError("No.", code="PoolNotFound", status=404, request_id="3f2a"), id="request"),
    pytest.param(BatchRequestError("No."), id="request without facts"),
    pytest.param(
        BatchAuthenticationError("No.", code="AuthenticationFailed", status=403), id="authentication"
    ),
    pytest.param(BatchQuotaError("No.", code="PoolQuotaReached", status=409), id="quota"),
    pytest.param(BatchConflictError("No.", code="PoolExists", status=409), id="conflict"),
    pytest.param(BatchUnreachableError("No answer."), id="unreachable"),
    pytest.param(PoolNotReadyError("Broken.", pool_id="etl"), id="pool not ready"),
    pytest.param(NodeUsersError("Two failed.", failed=("tvm-1", "tvm-2")), id="node users"),
    pytest.param(NodeCommandError("One failed.", failed=["tvm-1"], exit_codes={"tvm-1": 3}), id="command"),
    pytest.param(TaskFailedError("exit code 3", exit_code=3, node_id="tvm-1"), id="task failed"),
    pytest.param(TaskFailedError("did not start"), id="task that did not start"),
    pytest.param(WaitTimeoutError("Too late."), id="timeout"),
]


def facts(error: BaseException) -> tuple[type[BaseException], tuple[object, ...], dict[str, object]]:
    return type(error), error.args, vars(error)


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_survives_pickling(error: BatchLinuxError) -> None:
    assert facts(pickle.loads(pickle.dumps(error))) == facts(error)


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_can_be_copied(error: BatchLinuxError) -> None:
    assert facts(copy.deepcopy(error)) == facts(error)


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_passes_from_a_trigger_to_its_task_as_plain_values(error: BatchLinuxError) -> None:
    payload = json.loads(json.dumps(error_to_payload(error)))

    assert facts(error_from_payload(payload)) == facts(error)


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_says_its_message_and_nothing_else(error: BatchLinuxError) -> None:
    assert str(error) == str(error_from_payload(error_to_payload(error))) == error.args[0]


@pytest.mark.parametrize("error", ERRORS)
def test_what_is_raised_on_purpose_has_one_base_and_is_airflows(error: BatchLinuxError) -> None:
    assert isinstance(error, BatchLinuxError)
    assert isinstance(error, AirflowException)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("pool_id='' is not an id."), id="a wrong argument"),
        pytest.param(ImageNotFoundError("No such image."), id="a kind of wrong argument"),
    ],
)
def test_a_wrong_argument_passes_as_a_value_error(error: ValueError) -> None:
    again = error_from_payload(json.loads(json.dumps(error_to_payload(error))))

    assert type(again) is ValueError
    assert str(again) == str(error)


@given(st.text(), st.integers(), st.text())
def test_any_message_and_any_facts_survive(message: str, exit_code: int, node_id: str) -> None:
    error = TaskFailedError(message, exit_code=exit_code, node_id=node_id)

    assert facts(pickle.loads(pickle.dumps(error))) == facts(error)
    assert facts(error_from_payload(json.loads(json.dumps(error_to_payload(error))))) == facts(error)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(BatchQuotaError("No.", code="PoolQuotaReached"), id="quota"),
        pytest.param(BatchConflictError("No.", code="PoolExists"), id="conflict"),
        pytest.param(BatchAuthenticationError("No.", code="Forbidden"), id="authentication"),
    ],
)
def test_every_refusal_can_be_caught_as_one(error: BatchLinuxError) -> None:
    with pytest.raises(BatchRequestError):
        raise error
