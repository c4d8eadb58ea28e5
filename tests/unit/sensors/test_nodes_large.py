"""Large pools: their nodes are listed once, however often the wait looks."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.core.pools.repair import RepairHistory, with_history
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import TaskRun, run_task

NODES = 1200


def look(account: Any, **options: Any) -> TaskRun:
    account.control.clear_requests()
    return run_task(BatchLinuxNodesIdleSensor(task_id="wait", pool_id="etl", deferrable=True, **options))


def lists(account: Any) -> list[str]:
    asked = account.control.requests()
    queries = [request["query"] for request in asked if request["path"].endswith("/nodes")]
    assert all("$select=" in query for query in queries)
    return [query.partition("$filter=")[2].partition("&")[0] or "all" for query in queries]


def test_nodes_that_are_not_ready_are_asked_for_first(account):
    account.idle_pool(NODES)

    run = look(account)

    assert run.result["nodes"] == {"idle": NODES}
    assert lists(account) == ["state ne 'idle'", "all", "all"]


def test_a_large_pool_that_fails_is_not_listed_at_all(account):
    account.idle_pool(NODES)
    node_id = account.put_node("unusable")

    run = look(account)

    assert lists(account) == ["state ne 'idle'"]
    assert f"node '{node_id}': unusable" in run.message


def test_one_that_only_lags_is_waited_for_without_a_list_of_all(account):
    account.idle_pool(NODES)
    account.put_node("unknown")

    run = look(account, boot_limit=1e-6)

    assert run.state == "deferred"
    assert lists(account) == ["state ne 'idle'"]
    assert f"nodes: {NODES - 1} ready, 1 unknown" in run.log


def test_nodes_that_may_be_left_out_are_left_out(account):
    account.idle_pool(NODES)
    account.put_node("unusable")

    run = look(account, max_failed_nodes=1)

    assert run.result["nodes"] == {"idle": NODES - 1, "unusable": 1}


@pytest.mark.parametrize(("counts", "state"), [(True, "success"), (False, "deferred")])
def test_running_nodes_are_left_out_where_they_count_as_ready(account, counts, state):
    account.idle_pool(NODES)
    account.put_node("running")

    run = look(account, running_is_ready=counts)

    assert run.state == state
    assert lists(account) == (["state ne 'idle' and state ne 'running'", "all", "all"] if counts else [])


BROKEN = "state eq 'starttaskfailed' or state eq 'unusable'"


@pytest.mark.parametrize("others", [pytest.param([], id="ready"), pytest.param(["offline"], id="not yet")])
def test_a_repair_asks_for_broken_nodes_only_however_many_there_are(account, others):
    account.idle_pool(NODES)
    for state in ["unusable", *others]:
        account.put_node(state)

    run = look(account, repair={"replace_unusable": True})

    assert run.state == "deferred"
    assert lists(account) == [BROKEN]


def test_a_repair_lists_no_ready_nodes_before_the_pool_has_its_size_back(account):
    account.idle_pool(NODES)
    owed = RepairHistory(grow_to=(NODES + 1, 0), reduced_to=(NODES, 0))
    account.hook.run(lambda client: change_metadata(client, "etl", lambda marks: with_history(marks, owed)))

    run = look(account, repair={"replace_unusable": True})

    assert run.state == "deferred"
    assert lists(account) == [BROKEN]


def test_a_repair_lists_all_nodes_once_when_they_are_ready(account):
    account.idle_pool(NODES)

    run = look(account, repair={"replace_unusable": True})

    assert run.result["nodes"] == {"idle": NODES}
    assert lists(account) == [BROKEN, "state ne 'idle'", "all", "all"]


def test_a_repair_costs_four_requests_a_look_and_two_once_it_knows_there_is_nothing_to_do(account):
    account.idle_pool(NODES)
    account.put_node("offline")
    wait = BatchLinuxNodesIdleSensor(task_id="wait", pool_id="etl", repair={"reboots": 1}).trigger()
    account.control.clear_requests()

    async def looks(client: Any) -> None:
        nodes = wait.wait(client)
        for _ in range(3):
            assert await nodes.poll() is None

    account.hook.run(looks)

    assert len(account.requests()) == 4 + 2 + 2
