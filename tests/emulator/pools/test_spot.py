"""Spot nodes that are taken away and come back under their ids."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

BOOTS = "echo 1 >> $AZ_BATCH_NODE_SHARED_DIR/boots"
UNTIL_BACK = 300
"""Seconds until a preempted node is created again."""


@pytest.fixture
def realistic(start: Any) -> Any:
    """Give an account of the realistic profile with a manual clock."""
    return start(profile="realistic", clock="manual")


@pytest.fixture
def spot_pool(realistic: Any) -> Callable[..., list[str]]:
    """Give a function that makes a pool of spot nodes and returns their ids once they are idle."""

    def make(nodes: int = 1, **more: Any) -> list[str]:
        realistic.create_pool(nodes=0, targetLowPriorityNodes=nodes, **more)
        realistic.emulator.control.advance(60)
        return [node["id"] for node in realistic.wait_for_nodes("linux", "idle", nodes)]

    return make


def _until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline


def test_a_preempted_node_comes_back_under_its_id_as_a_fresh_machine(realistic: Any, spot_pool: Any) -> None:
    (node_id,) = spot_pool(startTask={"commandLine": f"/bin/sh -c '{BOOTS}'"})
    node, control = f"/pools/linux/nodes/{node_id}", realistic.emulator.control
    before = realistic.send("GET", node)
    realistic.send("POST", f"{node}/users", {"name": "etl"})

    assert control.preempt("linux") == [node_id]
    taken = realistic.send("GET", node)
    control.advance(UNTIL_BACK)
    seen = [realistic.send("GET", node)["state"]]
    control.advance(10)
    seen.append(realistic.send("GET", node)["state"])
    control.advance(17)
    (after,) = realistic.wait_for_nodes("linux", "idle")

    assert (taken["state"], "startTaskInfo" in taken) == ("preempted", False)
    assert seen == ["creating", "starting"]
    assert after["id"] == node_id
    assert after["allocationTime"] == before["allocationTime"]
    assert after["lastBootTime"] > before["lastBootTime"]
    assert realistic.send("PUT", f"{node}/users/etl", {})["code"] == "NodeUserNotFound"
    assert realistic.send("GET", f"{node}/files/shared%2Fboots") == "1\n"


def test_a_preempted_node_counts_for_its_pool_and_is_no_resize_error(realistic: Any, spot_pool: Any) -> None:
    spot_pool(2)
    realistic.emulator.control.preempt("linux")
    pool = realistic.send("GET", "/pools/linux")
    (counts,) = realistic.send("GET", "/nodecounts")["value"]

    assert (pool["currentLowPriorityNodes"], pool["allocationState"]) == (2, "steady")
    assert "resizeErrors" not in pool
    assert (counts["lowPriority"]["preempted"], counts["lowPriority"]["total"]) == (1, 2)


def test_the_task_of_a_preempted_node_waits_and_runs_again_without_a_retry(
    realistic: Any, spot_pool: Any
) -> None:
    (node_id,) = spot_pool()
    realistic.send("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}})
    realistic.send("POST", "/jobs/job/tasks", {"id": "task", "commandLine": "/bin/sleep 1000"})
    _until(lambda: realistic.send("GET", "/jobs/job/tasks/task")["state"] == "running")

    realistic.emulator.control.preempt("linux", node_id=node_id)
    waiting = realistic.send("GET", "/jobs/job/tasks/task")
    realistic.emulator.control.advance(UNTIL_BACK + 27)
    _until(lambda: realistic.send("GET", "/jobs/job/tasks/task")["state"] == "running")
    again = realistic.send("GET", "/jobs/job/tasks/task")

    assert (waiting["state"], "nodeInfo" in waiting) == ("active", False)
    assert again["nodeInfo"]["nodeId"] == node_id
    assert again["executionInfo"]["retryCount"] == 0


def test_less_capacity_preempts_the_newest_nodes_and_brings_them_back(realistic: Any, spot_pool: Any) -> None:
    first, second, third = spot_pool(3)
    by_number = sorted(realistic.nodes(), key=lambda node: node["ipAddress"])

    def preempted() -> list[str]:
        return [node["id"] for node in realistic.nodes() if node["state"] == "preempted"]

    realistic.emulator.control.set_capacity(spot=2)
    assert preempted() == [by_number[2]["id"]]
    realistic.emulator.control.advance(10 * UNTIL_BACK)
    assert preempted() == [by_number[2]["id"]]

    realistic.emulator.control.set_capacity(spot=3)
    realistic.emulator.control.advance(UNTIL_BACK + 27)
    assert {first, second, third} == {node["id"] for node in realistic.wait_for_nodes("linux", "idle", 3)}


def test_a_node_returns_when_another_pool_makes_room(realistic: Any, spot_pool: Any) -> None:
    control = realistic.emulator.control
    realistic.create_pool("other", nodes=0, targetLowPriorityNodes=1)
    control.advance(60)
    spot_pool()
    control.set_capacity(spot=1)
    control.advance(10 * UNTIL_BACK)
    assert realistic.nodes("linux")[0]["state"] == "preempted"

    realistic.send("DELETE", "/pools/other")
    control.advance(108)
    control.advance(UNTIL_BACK + 27)

    assert realistic.nodes("linux")[0]["state"] == "idle"


def test_a_node_that_is_forced_away_stays_away(realistic: Any, spot_pool: Any) -> None:
    (node_id,) = spot_pool()

    realistic.emulator.control.set_node("linux", node_id, "preempted")
    realistic.emulator.control.advance(100 * UNTIL_BACK)

    assert realistic.nodes()[0]["state"] == "preempted"


def test_only_existing_spot_nodes_are_preempted(realistic: Any, spot_pool: Any) -> None:
    (node_id,) = spot_pool(targetDedicatedNodes=0)
    control = realistic.emulator.control

    with pytest.raises(ValueError, match="'linux' has 1 such Spot nodes"):
        control.preempt("linux", 2)
    control.preempt("linux", node_id=node_id)
    with pytest.raises(ValueError, match="'linux' has 0 such Spot nodes"):
        control.preempt("linux", node_id=node_id)
