"""The life of pools and nodes, moved on by hand."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.emulator.protocol.instants import parse_instant
from tests.batch_account import eventually


@pytest.fixture
def realistic(start: Any) -> Any:
    """Give an account of the realistic profile with a manual clock."""
    return start(profile="realistic", clock="manual")


def test_a_pool_passes_every_recorded_state_in_its_time(realistic: Any) -> None:
    realistic.create_pool()
    seen = [realistic.states()]
    for seconds in (30.9, 0.2, 10, 17):
        realistic.emulator.control.advance(seconds)
        seen.append(realistic.states())

    assert seen == [
        ["resizing"],
        ["resizing"],
        ["steady", "creating"],
        ["steady", "starting"],
        ["steady", "idle"],
    ]


def test_speed_divides_every_delay(start: Any) -> None:
    account = start(profile="realistic", clock="manual", speed=10)
    account.create_pool()

    account.emulator.control.advance(5.9)

    assert account.states() == ["steady", "idle"]


def test_a_node_waits_for_its_start_task(realistic: Any) -> None:
    realistic.create_pool(startTask={"commandLine": "/bin/sleep 1000"})

    realistic.emulator.control.advance(60)

    assert realistic.states() == ["steady", "waitingforstarttask"]


def test_a_failed_try_of_a_start_task_shows_its_end_until_the_next_one(realistic: Any) -> None:
    realistic.create_pool(startTask={"commandLine": "/bin/false", "maxTaskRetryCount": 1})
    realistic.emulator.control.advance(60)

    def info() -> dict[str, Any]:
        found: dict[str, Any] = realistic.nodes()[0]["startTaskInfo"]
        return found

    eventually(lambda: "endTime" in info())
    tried = info()
    realistic.emulator.control.advance(1)
    realistic.wait_for_nodes("linux", "starttaskfailed")

    assert (tried["state"], tried["retryCount"], "exitCode" in tried) == ("running", 0, False)
    assert (info()["state"], info()["retryCount"]) == ("completed", 1)
    assert info()["startTime"] == info()["lastRetryTime"] > tried["startTime"]


def test_a_stopped_resize_says_so_in_the_words_of_the_service(realistic: Any) -> None:
    realistic.create_pool(nodes=2)

    assert realistic.send("POST", "/pools/linux/stopresize") == 202
    stopping = realistic.states()
    realistic.emulator.control.advance(5)
    pool = realistic.send("GET", "/pools/linux")

    assert stopping == ["stopping"]
    assert (pool["allocationState"], pool["targetDedicatedNodes"]) == ("steady", 2)
    assert pool["resizeErrors"] == [
        {
            "code": "ResizeStopped",
            "message": "Desired number of dedicated nodes could not be allocated due to a stop "
            "resize operation",
        }
    ]


def test_a_resize_error_stays_until_the_next_resize(realistic: Any) -> None:
    realistic.emulator.control.resize_error("^lin", "AllocationFailed", "no room", {"Reason": "x"})
    realistic.create_pool()
    realistic.emulator.control.advance(31)
    failed = realistic.send("GET", "/pools/linux")
    realistic.send("POST", "/pools/linux/resize", {"targetDedicatedNodes": 1})
    resizing = realistic.send("GET", "/pools/linux")
    realistic.emulator.control.advance(31)
    resized = realistic.send("GET", "/pools/linux")

    assert failed["resizeErrors"][0]["values"] == [{"name": "Reason", "value": "x"}]
    assert failed["currentDedicatedNodes"] == 0
    assert "resizeErrors" not in resizing
    assert "resizeErrors" not in resized
    assert resized["currentDedicatedNodes"] == 1


@pytest.mark.parametrize("action", ["resize", "removenodes"])
def test_a_pool_that_is_resized_refuses_another_resize(realistic: Any, action: str) -> None:
    realistic.create_pool()

    body = {"resize": {"targetDedicatedNodes": 2}, "removenodes": {"nodeList": ["x"]}}[action]

    assert realistic.send("POST", f"/pools/linux/{action}", body)["code"] == "PoolBeingResized"


def test_a_pool_that_is_steady_has_no_resize_to_stop(account: Any) -> None:
    account.create_pool(nodes=0)
    account.wait_for_nodes("linux", "idle", 0)

    refusal = account.send("POST", "/pools/linux/stopresize")

    assert refusal["code"] == "OperationInvalidForCurrentState"


def test_a_pool_that_is_deleted_refuses_everything_until_it_is_gone(realistic: Any) -> None:
    realistic.create_pool()
    realistic.emulator.control.advance(60)

    assert realistic.send("DELETE", "/pools/linux") == 202
    assert realistic.send("GET", "/pools/linux")["state"] == "deleting"
    assert realistic.states() == ["resizing", "leavingpool"]
    assert realistic.send("DELETE", "/pools/linux")["code"] == "PoolBeingDeleted"
    realistic.emulator.control.advance(107.9)
    assert realistic.send("GET", "/pools/linux")["state"] == "deleting"
    realistic.emulator.control.advance(0.2)

    assert realistic.send("GET", "/pools/linux")["code"] == "PoolNotFound"
    realistic.create_pool()


def test_a_pool_may_be_deleted_while_it_is_resized(realistic: Any) -> None:
    realistic.create_pool()

    realistic.send("DELETE", "/pools/linux")
    realistic.emulator.control.advance(100)

    assert realistic.send("GET", "/pools/linux")["code"] == "PoolNotFound"


def test_a_pool_that_is_deleted_looks_as_recorded(realistic: Any) -> None:
    realistic.create_pool()
    realistic.emulator.control.advance(60)
    before = realistic.send("GET", "/pools/linux")
    realistic.send("DELETE", "/pools/linux")
    after = realistic.send("GET", "/pools/linux")

    assert (after["targetDedicatedNodes"], after["currentDedicatedNodes"]) == (0, 1)
    assert after["resizeTimeout"] == "PT7M9.497S"
    assert after["eTag"] != before["eTag"]


def test_a_pool_with_no_nodes_to_get_is_steady_after_a_second_and_gone_as_soon(realistic: Any) -> None:
    realistic.create_pool(nodes=0)
    realistic.emulator.control.advance(1.6)
    assert realistic.states() == ["steady"]

    realistic.send("DELETE", "/pools/linux")
    realistic.emulator.control.advance(1.6)
    assert realistic.send("GET", "/pools/linux")["code"] == "PoolNotFound"


KEPT = (
    "stateTransitionTime",
    "lastBootTime",
    "allocationTime",
    "nodeAgentInfo",
    "startTaskInfo",
    "ipAddress",
)


def kept(node: Any) -> dict[str, Any]:
    return {name: node.get(name) for name in KEPT}


@pytest.fixture
def idle(realistic: Any) -> Any:
    """Give an account with a pool of one node, which is idle and has run a start task."""
    realistic.create_pool(startTask={"commandLine": "/bin/true"})
    realistic.emulator.control.advance(60)
    realistic.wait_for_nodes("linux", "idle")
    return realistic


def act(account: Any, action: str) -> None:
    (node,) = account.nodes()
    assert account.send("POST", f"/pools/linux/nodes/{node['id']}/{action}") == 202


def test_a_new_node_shows_neither_boot_nor_agent_until_it_is_up(realistic: Any) -> None:
    realistic.create_pool()
    realistic.emulator.control.advance(45)
    (starting,) = realistic.nodes()
    realistic.emulator.control.advance(14)
    (up,) = realistic.nodes()

    assert (starting["state"], up["state"]) == ("starting", "idle")
    assert {"lastBootTime", "nodeAgentInfo"}.isdisjoint(starting)
    assert up["lastBootTime"] == up["nodeAgentInfo"]["lastUpdateTime"]
    since, booted = (parse_instant(up[name]) for name in ("stateTransitionTime", "lastBootTime"))
    assert (since - booted).total_seconds() == 1


def test_a_node_that_is_deallocated_and_started_looks_as_recorded(idle: Any) -> None:
    control = idle.emulator.control
    control.advance(1)
    (before,) = idle.nodes()
    act(idle, "deallocate")
    (deallocating,) = idle.nodes()
    control.advance(61.1)
    (deallocated,) = idle.nodes()
    act(idle, "start")
    control.advance(91.4)
    (waking,) = idle.nodes()
    control.advance(0.2)
    (starting,) = idle.nodes()
    control.advance(5.5)
    idle.wait_for_nodes("linux", "idle")
    (after,) = idle.nodes()

    seen = [
        (node["state"], node["schedulingState"]) for node in (deallocating, deallocated, waking, starting)
    ]
    assert seen == [
        ("deallocating", "disabled"),
        ("deallocated", "disabled"),
        ("starting", "disabled"),
        ("starting", "enabled"),
    ]
    since = {"stateTransitionTime": deallocating["stateTransitionTime"]}
    assert since["stateTransitionTime"] > before["stateTransitionTime"]
    assert kept(deallocated) == kept(waking) == {**kept(before), **since}
    assert starting["stateTransitionTime"] > waking["stateTransitionTime"]
    assert starting["lastBootTime"] == before["lastBootTime"] < after["lastBootTime"]
    assert after["nodeAgentInfo"] == before["nodeAgentInfo"]
    assert after["schedulingState"] == "enabled"


@pytest.mark.parametrize(("action", "seconds"), [("reboot", 70.6), ("reimage", 100.5)])
def test_a_node_is_away_for_as_long_as_recorded(idle: Any, action: str, seconds: float) -> None:
    act(idle, action)
    idle.emulator.control.advance(seconds - 0.1)
    (before,) = idle.nodes()
    idle.emulator.control.advance(0.2)

    assert before["state"] == "starting"
    idle.wait_for_nodes("linux", "idle")


def test_a_job_that_ran_on_nodes_is_terminating_for_as_long_as_recorded(idle: Any) -> None:
    idle.send("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}})
    idle.send("POST", "/jobs/job/tasks", {"id": "task", "commandLine": "/bin/sleep 1000"})
    eventually(lambda: idle.send("GET", "/jobs/job/tasks/task")["state"] == "running")
    idle.send("POST", "/jobs/job/terminate")
    eventually(lambda: idle.send("GET", "/jobs/job/tasks/task")["state"] == "completed")
    idle.send("PATCH", "/jobs/job", {"priority": 1})
    idle.emulator.control.advance(30.9)
    before = idle.send("GET", "/jobs/job")
    idle.emulator.control.advance(0.2)
    after = idle.send("GET", "/jobs/job")

    assert (before["state"], after["state"]) == ("terminating", "completed")
    assert before["executionInfo"]["schedulingError"]["code"] == "JobTerminationAwaitingNodeProcessing"
    assert "schedulingError" not in after["executionInfo"]


def test_a_job_without_nodes_is_terminated_immediately(realistic: Any) -> None:
    realistic.send("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}})
    realistic.send("POST", "/jobs/job/terminate")

    eventually(lambda: realistic.send("GET", "/jobs/job")["state"] == "completed")


def test_pools_from_before_the_end_of_2025_are_open_for_ssh(start: Any) -> None:
    account = start(legacy_ssh=True)
    account.create_pool()
    account.create_pool("closed", networkConfiguration={"endpointConfiguration": {"inboundNATPools": []}})
    (node,) = account.wait_for_nodes("linux", "idle")
    (closed,) = account.wait_for_nodes("closed", "idle")

    (endpoint,) = node["endpointConfiguration"]["inboundEndpoints"]
    assert (endpoint["name"], endpoint["backendPort"]) == ("SSHRule.0", 22)
    login = account.send("GET", f"/pools/linux/nodes/{node['id']}/remoteloginsettings")
    assert login["remoteLoginPort"] == endpoint["frontendPort"]
    assert "networkConfiguration" not in account.send("GET", "/pools/linux")
    assert "endpointConfiguration" not in closed


def test_reading_changes_nothing(realistic: Any) -> None:
    realistic.create_pool()
    realistic.emulator.control.advance(31)

    first = realistic.send("GET", "/pools/linux"), realistic.nodes()
    second = realistic.send("GET", "/pools/linux"), realistic.nodes()

    assert first == second
