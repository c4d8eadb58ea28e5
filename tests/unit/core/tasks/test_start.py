"""Why a command cannot start: told where only a person can change it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.core.tasks.start import start_obstacle

POOL = PoolSnapshot.from_rest(
    {
        "id": "etl",
        "state": "active",
        "allocationState": "steady",
        "currentDedicatedNodes": 1,
        "targetDedicatedNodes": 1,
    }
)
QUOTA = {"code": "AccountCoreQuotaReached", "message": "The core quota has been reached."}


def nodes(*states: str, **facts: Any) -> list[NodeSnapshot]:
    return [
        NodeSnapshot.from_rest({"id": f"n{i}", "state": state, **facts}) for i, state in enumerate(states)
    ]


def pool(**rest: Any) -> PoolSnapshot:
    return PoolSnapshot.from_rest({"id": "etl", "state": "active", "allocationState": "steady", **rest})


@pytest.mark.parametrize(
    ("found", "among", "cause"),
    [
        pytest.param(
            POOL,
            nodes("starttaskfailed", startTaskInfo={"state": "completed", "exitCode": 3}),
            "node 'n0': start task failed with exit code 3.",
            id="start task",
        ),
        pytest.param(
            POOL, nodes("unusable"), "node 'n0': unusable; the service names no cause", id="unusable"
        ),
        pytest.param(POOL, nodes("offline"), "node 'n0': offline, its scheduling is disabled.", id="offline"),
        pytest.param(POOL, nodes("deallocated"), "node 'n0': deallocated, start it.", id="deallocated"),
        pytest.param(POOL, nodes("preempted"), "node 'n0': preempted.", id="preempted"),
        pytest.param(POOL, nodes(*["unusable"] * 5), "; 2 more nodes.", id="many nodes"),
        pytest.param(pool(), [], "it has no nodes and none are requested; resize it.", id="no nodes"),
        pytest.param(
            pool(targetDedicatedNodes=2, resizeErrors=[QUOTA]),
            [],
            "AccountCoreQuotaReached: The core quota has been reached. Remedy: ask for a higher",
            id="quota",
        ),
        pytest.param(
            pool(enableAutoScale=True, autoScaleRun={"timestamp": "2026-01-01T00:00:00Z", "error": QUOTA}),
            [],
            "autoscale formula: AccountCoreQuotaReached",
            id="autoscale",
        ),
    ],
)
def test_the_cause_is_named(found: PoolSnapshot, among: list[NodeSnapshot], cause: str) -> None:
    obstacle = start_obstacle(found, among)

    assert obstacle is not None
    assert obstacle.startswith("No node of pool 'etl' can run it: ")
    assert cause in obstacle


@pytest.mark.parametrize(
    "state", ["idle", "running", "starting", "creating", "rebooting", "unknown", "new state"]
)
def test_a_node_that_may_run_it_is_waited_for(state: str) -> None:
    assert start_obstacle(POOL, nodes("unusable", state)) is None


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(replace(POOL, allocation_state="resizing"), id="resizing"),
        pytest.param(pool(enableAutoScale=True), id="autoscale may add nodes"),
        pytest.param(pool(resizeErrors=[{"code": "ResizeStopped"}], targetDedicatedNodes=1), id="stopped"),
    ],
)
def test_a_pool_that_may_get_nodes_is_waited_for(found: PoolSnapshot) -> None:
    assert start_obstacle(found, []) is None


def test_a_pool_that_is_being_deleted_is_named() -> None:
    assert start_obstacle(replace(POOL, state="deleting"), []) == "Pool 'etl' is being deleted."
