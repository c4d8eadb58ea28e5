"""What concerns many nodes or tasks is done in turns, and ends as if it had been done in one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from airflow_provider_batchlinux.emulator.protocol import wire
from airflow_provider_batchlinux.emulator.simulation.clock import MANY
from tests.emulator.conftest import Account

NODES = MANY + 10
TASKS = 2 * MANY + 10


def add_tasks(account: Account, number: int, line: str, **more: Any) -> None:
    for first in range(1, number + 1, 100):
        tasks = [
            {"id": str(each), "commandLine": line, **more}
            for each in range(first, min(first + 100, number + 1))
        ]
        account.send("POST", "/jobs/etl/addtaskcollection", {"value": tasks})


def has_completed(number: int) -> Any:
    return lambda counts: counts["taskCounts"]["completed"] == number


def test_many_tasks_move_to_another_pool_and_run_after_those_that_they_depend_on(account: Account) -> None:
    account.create_pool(nodes=4, taskSlotsPerNode=8)
    job = {"id": "etl", "poolInfo": {"poolId": "none"}, "usesTaskDependencies": True}
    assert account.send("POST", "/jobs", job) == 201
    add_tasks(account, TASKS, "/bin/true")
    last = {
        "id": "last",
        "commandLine": "/bin/true",
        "dependsOn": {"taskIdRanges": [{"start": 1, "end": TASKS}]},
    }
    assert account.send("POST", "/jobs/etl/tasks", last) == 201
    account.send("POST", "/jobs/etl/disable", {"disableTasks": "requeue"})
    account.eventually("/jobs/etl", lambda job: job["state"] == "disabled")
    account.send("PATCH", "/jobs/etl", {"poolInfo": {"poolId": "linux"}})
    account.send("POST", "/jobs/etl/enable")

    counts = account.eventually("/jobs/etl/taskcounts", has_completed(TASKS + 1))
    assert counts["taskCounts"]["succeeded"] == TASKS + 1
    tasks = account.send("GET", "/jobs/etl/tasks")["value"]
    starts = {task["id"]: task["executionInfo"]["startTime"] for task in tasks}
    ends = {task["id"]: task["executionInfo"]["endTime"] for task in tasks if task["id"] != "last"}
    assert starts["last"] >= max(ends.values())
    account.send("DELETE", "/jobs/etl")
    account.eventually("/jobs/etl", lambda job: job.get("code") == "JobNotFound")
    assert account.send("GET", "/jobs/etl/tasks/1")["code"] == "JobNotFound"


@pytest.mark.parametrize("ending", ["terminate", "disable", "delete"])
def test_many_running_tasks_end_with_their_job(account: Account, ending: str) -> None:
    account.create_pool(taskSlotsPerNode=NODES, vmSize="standard_d64s_v5")
    account.send("POST", "/jobs", {"id": "etl", "poolInfo": {"poolId": "linux"}})
    add_tasks(account, NODES, "/bin/sleep 600")
    account.eventually("/jobs/etl/taskcounts", lambda counts: counts["taskCounts"]["running"] == NODES)

    if ending == "delete":
        account.send("DELETE", "/jobs/etl")
        account.eventually("/jobs/etl", lambda job: job.get("code") == "JobNotFound")
    else:
        account.send(
            "POST", f"/jobs/etl/{ending}", {"disableTasks": "terminate"} if ending == "disable" else {}
        )
        reached = {"terminate": "completed", "disable": "disabled"}[ending]
        account.eventually("/jobs/etl", lambda job: job["state"] == reached)
        assert has_completed(NODES)(account.send("GET", "/jobs/etl/taskcounts"))
    (node,) = account.nodes()
    assert (node["state"], node["runningTasksCount"]) == ("idle", 0)


def test_many_nodes_leave_unless_their_resize_is_stopped_before(start: Any) -> None:
    account: Account = start(profile="realistic", clock="manual")

    def states() -> Counter[str]:
        return Counter(account.states()[1:])

    account.create_pool(nodes=NODES)
    account.emulator.control.advance(600)
    assert states() == {"idle": NODES}
    account.send("POST", "/pools/linux/resize", {"targetDedicatedNodes": 1})
    account.eventually("/pools/linux/nodes", lambda _: states()["leavingpool"] == NODES - 1)
    account.emulator.control.advance(600)
    assert account.states() == ["steady", "idle"]

    account.send("POST", "/pools/linux/resize", {"targetDedicatedNodes": NODES})
    account.emulator.control.advance(600)
    assert states() == {"idle": NODES}
    account.send("DELETE", "/pools/linux")
    account.eventually("/pools/linux/nodes", lambda _: states() == {"leavingpool": NODES})
    account.emulator.control.advance(600)
    assert account.send("GET", "/pools/linux")["code"] == "PoolNotFound"


def test_a_page_of_large_records_ends_early_and_nothing_is_lost(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_LARGE_PAGE", 10_000)
    account.send("POST", "/jobs", {"id": "etl", "poolInfo": {"poolId": "none"}})
    add_tasks(account, 10, "/bin/true", displayName="x" * 4_000)

    page = account.send("GET", "/jobs/etl/tasks")
    assert len(page["value"]) == 3
    assert page["odata.nextLink"].startswith(f"{account.emulator.endpoint}/jobs/etl/tasks?")
