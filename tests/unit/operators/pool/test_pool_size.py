"""Operators that change the size of a pool, on the worker and on the triggerer."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.core.instants import parse_instant, rest_instant
from airflow_provider_batchlinux.exceptions import BatchRequestError, PoolNotReadyError
from airflow_provider_batchlinux.operators.pool_size import (
    BatchLinuxDisableAutoscaleOperator,
    BatchLinuxEnableAutoscaleOperator,
    BatchLinuxResizePoolOperator,
)
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from airflow_provider_batchlinux.specs import AutoscaleSpec
from tests.airflow_harness import TaskRun, resume_task, run_task, run_to_end, run_trigger
from tests.batch_account import BatchAccount
from tests.integration.scenarios import once_waiting

BOTH = pytest.mark.parametrize(
    "deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")]
)
FORMULA = "$TargetDedicatedNodes = 2;"


def resize(**options: Any) -> BatchLinuxResizePoolOperator:
    defaults = {"task_id": "resize", "pool_id": "etl", "poll_interval": 0.02}
    return BatchLinuxResizePoolOperator(**{**defaults, **options})


@BOTH
def test_the_task_ends_when_the_pool_has_its_size(account: BatchAccount, deferrable: bool) -> None:
    account.idle_pool(1)

    run = run_to_end(resize(dedicated_nodes=2, spot_nodes=1, deferrable=deferrable))

    assert parse_instant(run.result.pop("requested_at")) is not None
    assert run.result == {
        "pool_id": "etl",
        "dedicated": {"current": 2, "target": 2},
        "spot": {"current": 1, "target": 1},
        "resize_errors": [],
    }


@BOTH
def test_a_pool_that_has_its_size_is_left_alone(account: BatchAccount, deferrable: bool) -> None:
    account.idle_pool(1)
    account.control.clear_requests()

    run = run_task(resize(dedicated_nodes=1, deferrable=deferrable))

    assert run.state == "success"
    assert run.result["requested_at"] is None
    assert not [request for request in account.requests() if request.startswith("POST")]


@BOTH
def test_a_resize_that_gets_too_few_nodes_fails_with_the_reason(
    account: BatchAccount, deferrable: bool
) -> None:
    account.idle_pool(1)
    account.control.resize_error("etl", "AllocationTimedOut", "No room.")

    run = run_to_end(resize(dedicated_nodes=3, deferrable=deferrable))

    assert isinstance(run.error, PoolNotReadyError)
    assert "AllocationTimedOut" in run.message
    assert "Remedy" in run.message


def test_too_few_do_when_that_is_said(account: BatchAccount) -> None:
    account.idle_pool(1)
    account.control.resize_error("etl", "AllocationTimedOut", "No room.")

    assert run_task(resize(spot_nodes=3, accept_partial=True)).state == "success"


def test_a_resize_under_way_is_waited_for_and_ours_comes_after_it(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=1)
    run = run_task(resize(dedicated_nodes=2, deferrable=True))
    assert run.deferral is not None
    assert run.deferral.trigger_kwargs["asked"] is False
    slow_account.control.advance(60)

    again = run_task(resize(dedicated_nodes=2, deferrable=True))

    assert again.deferral is not None
    assert again.deferral.trigger_kwargs["asked"] is True
    slow_account.control.advance(60)
    resumed = resume_task(resize(dedicated_nodes=2), again, run_trigger(again.deferral))
    assert resumed.result["dedicated"] == {"current": 2, "target": 2}


def test_without_waiting_the_task_ends_when_the_service_has_taken_it(slow_account: BatchAccount) -> None:
    slow_account.make_pool()
    slow_account.control.advance(60)

    run = run_task(resize(dedicated_nodes=2, wait=False, timeout=20))

    pool = slow_account.hook.find_pool("etl")
    assert pool is not None
    assert pool.target == 2
    assert pool.allocation_state_since is not None
    assert run.result == {"pool_id": "etl", "requested_at": rest_instant(pool.allocation_state_since)}


@BOTH
def test_without_waiting_only_a_resize_under_way_is_waited_for(
    slow_account: BatchAccount, deferrable: bool
) -> None:
    slow_account.make_pool(dedicated=1)

    with once_waiting(slow_account, lambda: slow_account.control.advance(60)):
        run = run_to_end(resize(dedicated_nodes=2, wait=False, deferrable=deferrable, timeout=20))

    assert run.state == "success", run.message
    assert set(run.result) == {"pool_id", "requested_at"}
    assert slow_account.hook.find_pool("etl").allocation_state == "resizing"  # type: ignore[union-attr]


def test_a_resize_of_a_faster_client_is_waited_for(account: BatchAccount) -> None:
    account.idle_pool(1)
    account.control.inject("POST", "/pools/etl/resize$", status=409, code="PoolBeingResized")

    assert run_task(resize(dedicated_nodes=2)).result["dedicated"] == {"current": 2, "target": 2}


def test_the_instant_of_the_request_outlives_the_deferral(slow_account: BatchAccount) -> None:
    slow_account.make_pool()
    slow_account.control.advance(60)
    operator = resize(dedicated_nodes=2, deferrable=True)
    run = run_task(operator)
    began = slow_account.hook.find_pool("etl").allocation_state_since  # type: ignore[union-attr]
    assert began is not None
    assert run.deferral is not None
    slow_account.control.advance(60)

    resumed = resume_task(operator, run, run_trigger(run.deferral))

    assert run.deferral.trigger_kwargs["requested_at"] == rest_instant(began)
    assert resumed.result["requested_at"] == rest_instant(began)


def nodes_since(run: TaskRun) -> BatchLinuxNodesIdleSensor:
    """Wait for the nodes that a resize has asked for."""
    requested_at = run.result["requested_at"]
    return BatchLinuxNodesIdleSensor(
        task_id="nodes", pool_id="etl", requested_at=requested_at, poke_interval=0.02, timeout=20
    )


def test_the_sensor_that_gets_the_instant_fails_on_errors_of_this_resize(account: BatchAccount) -> None:
    account.idle_pool(1)
    account.control.resize_error("etl", "AllocationTimedOut", "No room.")

    run = run_task(nodes_since(run_task(resize(dedicated_nodes=3, accept_partial=True))))

    assert isinstance(run.error, PoolNotReadyError)
    assert "AllocationTimedOut" in run.message


@pytest.mark.usefixtures("account")
def test_a_pool_that_is_not_there_fails_the_task() -> None:
    assert "does not exist" in run_task(resize(dedicated_nodes=1)).message


def test_a_pool_with_a_formula_is_not_resized(account: BatchAccount) -> None:
    account.make_pool()
    run_task(BatchLinuxEnableAutoscaleOperator(task_id="scale", pool_id="etl", formula=FORMULA))

    assert "disable autoscale first" in run_task(resize(dedicated_nodes=1)).message


@pytest.mark.usefixtures("account")
def test_wrong_numbers_are_told_before_any_call() -> None:
    run = run_task(resize(dedicated_nodes=-1, running_tasks="kill"))

    assert "dedicated_nodes=-1" in run.message
    assert "running_tasks='kill'" in run.message


@pytest.mark.parametrize(
    "formula",
    [pytest.param(FORMULA, id="text"), pytest.param(AutoscaleSpec(FORMULA, interval=600), id="spec")],
)
def test_a_formula_decides_from_now_on(account: BatchAccount, formula: Any) -> None:
    account.make_pool()

    run = run_task(BatchLinuxEnableAutoscaleOperator(task_id="scale", pool_id="etl", formula=formula))

    assert run.result["results"]["$TargetDedicatedNodes"] == "2"
    account.wait_for_nodes({"idle": 2})


def test_an_interval_that_is_given_twice_is_refused(account: BatchAccount) -> None:
    account.make_pool()
    formula = AutoscaleSpec(FORMULA, interval=600)

    run = run_task(
        BatchLinuxEnableAutoscaleOperator(task_id="scale", pool_id="etl", formula=formula, interval=900)
    )

    assert run.message == "interval is given twice: as a parameter and in the formula; remove one of them."


def test_a_formula_that_is_wrong_fails_the_task(account: BatchAccount) -> None:
    account.make_pool()

    run = run_task(BatchLinuxEnableAutoscaleOperator(task_id="scale", pool_id="etl", formula="$Target = ;"))

    assert isinstance(run.error, BatchRequestError)
    assert not account.hook.find_pool("etl").autoscale  # type: ignore[union-attr]


def test_autoscale_is_disabled_once_and_that_is_fine_twice(account: BatchAccount) -> None:
    account.make_pool()
    run_task(BatchLinuxEnableAutoscaleOperator(task_id="scale", pool_id="etl", formula=FORMULA))
    account.wait_for_nodes({"idle": 2})

    for _ in range(2):
        run = run_task(BatchLinuxDisableAutoscaleOperator(task_id="stop", pool_id="etl"))
        assert run.result == {"pool_id": "etl"}

    found = account.hook.find_pool("etl")
    assert found is not None
    assert (found.autoscale, found.target) == (False, 2)


def test_a_template_inside_a_spec_object_is_rendered(account: BatchAccount) -> None:
    account.make_pool()
    formula = AutoscaleSpec("$TargetDedicatedNodes = {{ 1 + 1 }};")

    run = run_task(BatchLinuxEnableAutoscaleOperator(task_id="scale", pool_id="etl", formula=formula))

    assert run.rendered["formula"] == {"formula": "$TargetDedicatedNodes = 2;"}
    assert run.result["results"]["$TargetDedicatedNodes"] == "2"
