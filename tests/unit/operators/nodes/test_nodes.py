"""Operators that reboot, reimage, give back and start nodes."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG, task

from airflow_provider_batchlinux.exceptions import BatchRequestError, PoolNotReadyError
from airflow_provider_batchlinux.operators.nodes import (
    BatchLinuxDeallocateNodesOperator,
    BatchLinuxRebootNodesOperator,
    BatchLinuxReimageNodesOperator,
    BatchLinuxStartNodesOperator,
)
from tests.airflow_harness import ExecutionApi, resume_task, run_task, run_to_end, run_trigger
from tests.batch_account import BatchAccount
from tests.delays import NODES_IDLE

BOTH = pytest.mark.parametrize(
    "deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")]
)


def act(cls: Any, **options: Any) -> Any:
    return cls(task_id="act", **{"pool_id": "etl", "poll_interval": 0.02, **options})


def boots(account: BatchAccount) -> dict[str, Any]:
    return {node.node_id: node.last_boot for node in account.nodes()}


@BOTH
@pytest.mark.parametrize("cls", [BatchLinuxRebootNodesOperator, BatchLinuxReimageNodesOperator])
def test_all_nodes_start_again(account: BatchAccount, cls: Any, deferrable: bool) -> None:
    account.idle_pool(2)
    before = boots(account)

    run = run_to_end(act(cls, deferrable=deferrable))

    assert run.result == {"pool_id": "etl", "done": 2, "gone": 0}
    after = boots(account)
    assert all(after[node_id] > before[node_id] for node_id in before)


def test_only_the_named_nodes_are_asked(account: BatchAccount) -> None:
    account.idle_pool(2)
    before = boots(account)
    chosen, other = before

    run = run_task(act(BatchLinuxRebootNodesOperator, node_ids=[chosen.upper(), "tvm-none"]))

    assert run.result["done"] == 1
    assert "has no nodes 'tvm-none'" in run.log
    assert boots(account)[other] == before[other]


@task
def chosen_node(at: int) -> int:
    return at


@BOTH
def test_the_nodes_that_mapped_tasks_have_chosen_are_asked(account: BatchAccount, deferrable: bool) -> None:
    account.idle_pool(2)
    before = boots(account)
    chosen, other = before
    with DAG("chosen", schedule=None):
        node_ids = chosen_node.expand(at=[0])
        operator = act(BatchLinuxRebootNodesOperator, node_ids=node_ids, deferrable=deferrable)

    run = run_task(operator, api=ExecutionApi(xcoms={"return_value": chosen}))
    if run.deferral is not None:
        run = resume_task(operator, run, run_trigger(run.deferral))

    assert run.result == {"pool_id": "etl", "done": 1, "gone": 0}
    assert boots(account)[other] == before[other]


def test_node_ids_may_be_text(account: BatchAccount) -> None:
    account.idle_pool(2)
    before = boots(account)
    chosen, other = before

    run = run_task(act(BatchLinuxRebootNodesOperator, node_ids="{{ params.ids }}", params={"ids": [chosen]}))

    assert run.result["done"] == 1
    assert boots(account)[other] == before[other]


def test_only_nodes_in_the_named_states_are_asked(account: BatchAccount) -> None:
    account.idle_pool(2)
    account.put_node("offline")

    run = run_task(act(BatchLinuxRebootNodesOperator, states=["Idle"]))

    assert run.result["done"] == 1


@BOTH
def test_nodes_are_given_back_and_started_again(account: BatchAccount, deferrable: bool) -> None:
    account.idle_pool(2)

    back = run_to_end(act(BatchLinuxDeallocateNodesOperator, deferrable=deferrable))
    account.wait_for_nodes({"deallocated": 2})
    again = run_to_end(act(BatchLinuxStartNodesOperator, deferrable=deferrable))

    assert back.result["done"] == again.result["done"] == 2
    account.wait_for_nodes({"idle": 2})


@pytest.mark.parametrize(
    "selected", [{}, {"node_ids": []}, {"states": ["unusable"]}, {"node_ids": ["tvm-9"]}]
)
def test_an_action_on_no_node_fails_unless_that_is_allowed(
    account: BatchAccount, selected: dict[str, Any]
) -> None:
    account.idle_pool(1)

    refused = run_task(act(BatchLinuxStartNodesOperator, **selected))
    allowed = run_task(act(BatchLinuxStartNodesOperator, **selected, allow_empty=True))

    assert "so there is nothing to start. allow_empty=True" in refused.message
    assert allowed.result == {"pool_id": "etl", "done": 0, "gone": 0}
    assert "allow_empty permits that" in allowed.log


def test_a_node_that_refuses_is_named_and_the_others_take_it(account: BatchAccount) -> None:
    account.idle_pool(2)
    refusing = account.put_node("preempted")
    other = next(node.node_id for node in account.nodes() if node.node_id != refusing)

    run = run_task(act(BatchLinuxRebootNodesOperator, node_ids=[refusing, other]))

    assert isinstance(run.error, BatchRequestError)
    assert "1 node of pool 'etl' refused reboot; the others took it." in run.message
    assert f"node {refusing!r} (preempted)" in run.message


def test_a_node_that_breaks_at_boot_fails_the_task_with_the_cause(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=1)
    slow_account.control.advance(NODES_IDLE)
    slow_account.wait_for_nodes({"idle": 1})
    operator = act(BatchLinuxRebootNodesOperator, deferrable=True)
    run = run_task(operator)
    assert run.deferral is not None
    slow_account.put_node("unusable")

    resumed = resume_task(operator, run, run_trigger(run.deferral))

    assert isinstance(resumed.error, PoolNotReadyError)
    assert "did not come back from reboot" in resumed.message


def test_a_node_that_leaves_meanwhile_is_gone(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=1)
    slow_account.control.advance(NODES_IDLE)
    slow_account.wait_for_nodes({"idle": 1})
    operator = act(BatchLinuxRebootNodesOperator, deferrable=True)
    run = run_task(operator)
    assert run.deferral is not None
    slow_account.put_node("preempted")

    resumed = resume_task(operator, run, run_trigger(run.deferral))

    assert resumed.result == {"pool_id": "etl", "done": 0, "gone": 1}


def test_without_waiting_the_task_ends_when_the_nodes_took_it(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=1)
    slow_account.control.advance(NODES_IDLE)
    slow_account.wait_for_nodes({"idle": 1})

    assert run_task(act(BatchLinuxRebootNodesOperator, wait=False)).result["done"] == 1
    assert slow_account.hook.node_counts("etl") == {"rebooting": 1}


@pytest.mark.usefixtures("account")
def test_a_wrong_choice_for_running_tasks_is_told_before_any_call() -> None:
    assert (
        "running_tasks='kill'" in run_task(act(BatchLinuxRebootNodesOperator, running_tasks="kill")).message
    )


def test_a_limit_that_is_none_is_told_before_any_node_is_asked(account: BatchAccount) -> None:
    account.idle_pool(1)
    account.control.clear_requests()

    run = run_task(act(BatchLinuxRebootNodesOperator, timeout=0))

    assert (
        run.message
        == "timeout=0 is not a duration above zero: give a pendulum duration, a timedelta or seconds."
    )
    assert account.requests() == []


def test_nodes_without_tasks_have_no_option_for_running_tasks() -> None:
    with pytest.raises(TypeError, match="running_tasks"):
        act(BatchLinuxStartNodesOperator, running_tasks="requeue")


def test_a_node_that_already_reboots_counts_as_one_that_accepted(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=1)
    slow_account.control.advance(NODES_IDLE)
    slow_account.wait_for_nodes({"idle": 1})
    [node_id] = boots(slow_account)
    again = act(BatchLinuxRebootNodesOperator, node_ids=[node_id], wait=False)
    run_task(again)

    assert run_task(again).result["done"] == 1


def test_a_node_that_does_something_else_refuses(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=1)
    slow_account.control.advance(NODES_IDLE)
    slow_account.wait_for_nodes({"idle": 1})
    [node_id] = boots(slow_account)
    run_task(act(BatchLinuxReimageNodesOperator, node_ids=[node_id], wait=False))

    run = run_task(act(BatchLinuxRebootNodesOperator, node_ids=[node_id], wait=False))

    assert "NodeBeingReimaged" in run.message
