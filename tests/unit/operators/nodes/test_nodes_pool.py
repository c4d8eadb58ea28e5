"""Node actions and their pool: what they request for a large one, and without one."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.exceptions import PoolNotReadyError
from airflow_provider_batchlinux.operators.nodes import (
    BatchLinuxDeallocateNodesOperator,
    BatchLinuxRebootNodesOperator,
    BatchLinuxReimageNodesOperator,
    BatchLinuxStartNodesOperator,
)
from tests.airflow_harness import TaskRun, resume_task, run_task, run_to_end, run_trigger
from tests.batch_account import BatchAccount
from tests.delays import NODE_REBOOTED, NODES_IDLE, POOL_DELETED

LARGE = 1200
BOTH = pytest.mark.parametrize(
    "deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")]
)
ACTIONS = pytest.mark.parametrize(
    "cls",
    [
        BatchLinuxRebootNodesOperator,
        BatchLinuxReimageNodesOperator,
        BatchLinuxDeallocateNodesOperator,
        BatchLinuxStartNodesOperator,
    ],
)


def act(cls: Any, **options: Any) -> Any:
    return cls(task_id="act", **{"pool_id": "etl", "poll_interval": 0.02, **options})


def lists(account: BatchAccount) -> list[str]:
    queries = [asked["query"] for asked in account.control.requests() if asked["path"].endswith("/nodes")]
    assert all("$select=" in query for query in queries)
    return [query.partition("$filter=")[2].partition("&")[0] or "all" for query in queries]


def deferred_reboot(slow_account: BatchAccount) -> tuple[Any, TaskRun]:
    """Leave a reboot of one node to the triggerer."""
    slow_account.make_pool(dedicated=1)
    slow_account.control.advance(NODES_IDLE)
    slow_account.wait_for_nodes({"idle": 1})
    operator = act(BatchLinuxRebootNodesOperator, deferrable=True)
    run = run_task(operator)
    assert run.deferral is not None, run.message
    return operator, run


@ACTIONS
@pytest.mark.parametrize("named", [pytest.param(False, id="all"), pytest.param(True, id="named")])
def test_a_pool_that_is_not_there_is_named(account: BatchAccount, cls: Any, named: bool) -> None:
    run = run_task(act(cls, node_ids=["tvm-1"] if named else None))

    assert isinstance(run.error, PoolNotReadyError)
    assert run.message.startswith("Pool 'etl' does not exist, so its nodes")


@ACTIONS
@pytest.mark.parametrize("wait", [True, False])
def test_a_pool_that_is_being_deleted_is_named(slow_account: BatchAccount, cls: Any, wait: bool) -> None:
    slow_account.make_pool(dedicated=1)
    slow_account.control.advance(NODES_IDLE)
    slow_account.hook.delete_pool("etl")

    run = run_task(act(cls, wait=wait))

    assert isinstance(run.error, PoolNotReadyError)
    assert run.message.startswith("Pool 'etl' is being deleted, so its nodes")


@pytest.mark.parametrize(
    ("seconds", "state"), [pytest.param(0, "is being deleted"), pytest.param(POOL_DELETED, "does not exist")]
)
def test_a_pool_that_is_deleted_while_its_nodes_restart_ends_the_wait(
    slow_account: BatchAccount, seconds: float, state: str
) -> None:
    operator, run = deferred_reboot(slow_account)
    slow_account.hook.delete_pool("etl")
    slow_account.control.advance(seconds)
    assert run.deferral is not None

    resumed = resume_task(operator, run, run_trigger(run.deferral))

    assert isinstance(resumed.error, PoolNotReadyError)
    assert resumed.message.startswith(f"Pool 'etl' {state}, so its nodes will not come through reboot.")


def test_a_pool_that_is_deleted_between_two_reads_is_named(account: BatchAccount) -> None:
    account.idle_pool(1)
    account.control.inject("GET", "/pools/etl/nodes$", status=404, code="PoolNotFound")
    account.hook.delete_pool("etl")

    run = run_task(act(BatchLinuxRebootNodesOperator))

    assert isinstance(run.error, PoolNotReadyError)


def test_a_pool_that_is_deleted_while_its_nodes_are_called_is_named(account: BatchAccount) -> None:
    account.idle_pool(1)
    account.control.inject("POST", "/reboot$", status=404, code="PoolNotFound")
    account.control.inject("GET", "/pools/etl$", delay=0.0)
    account.control.inject("GET", "/pools/etl$", status=404, code="PoolNotFound")

    run = run_task(act(BatchLinuxRebootNodesOperator))

    assert isinstance(run.error, PoolNotReadyError)
    assert run.message.startswith("Pool 'etl' does not exist")


@BOTH
def test_one_named_node_of_a_large_pool_is_asked_for_alone(account: BatchAccount, deferrable: bool) -> None:
    account.idle_pool(LARGE)
    node_id = account.nodes()[7].node_id
    account.control.clear_requests()

    run = run_to_end(act(BatchLinuxRebootNodesOperator, node_ids=[node_id], deferrable=deferrable))

    assert run.result == {"pool_id": "etl", "done": 1, "gone": 0}
    assert lists(account) == []


def test_the_nodes_of_some_states_are_all_that_is_listed(account: BatchAccount) -> None:
    account.idle_pool(LARGE)
    account.put_node("starttaskfailed")
    account.control.clear_requests()

    run = run_task(act(BatchLinuxRebootNodesOperator, states=["StartTaskFailed"]))

    assert run.result["done"] == 1
    assert lists(account) == ["state eq 'starttaskfailed'"]


def test_a_look_at_many_rebooting_nodes_asks_for_a_few(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=LARGE)
    slow_account.control.advance(NODES_IDLE)
    slow_account.wait_for_nodes({"idle": LARGE})
    operator = act(BatchLinuxRebootNodesOperator, deferrable=True)
    run = run_task(operator)
    assert run.deferral is not None
    slow_account.control.advance(NODE_REBOOTED)
    slow_account.control.clear_requests()

    resumed = resume_task(operator, run, run_trigger(run.deferral))

    assert resumed.result == {"pool_id": "etl", "done": LARGE, "gone": 0}
    # A list of two pages, once, for all that are left when the few are through.
    assert lists(slow_account) == ["all", "all"]
    assert len(slow_account.requests()) < 30


def test_a_look_before_any_node_is_through_lists_none(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=30)
    slow_account.control.advance(NODES_IDLE)
    slow_account.wait_for_nodes({"idle": 30})
    slow_account.control.clear_requests()

    run = run_task(act(BatchLinuxRebootNodesOperator, deferrable=True))

    assert run.state == "deferred"
    assert len(lists(slow_account)) == 1
    looks = [asked for asked in slow_account.requests() if asked.startswith("GET /pools/etl/nodes/")]
    assert len(looks) == 5
