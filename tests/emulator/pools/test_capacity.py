"""Resizes that get fewer nodes than they ask for, for want of quota, capacity or fault_injector."""

from __future__ import annotations

from typing import Any

import pytest

from tests.batch_account import eventually

TIMED_OUT = {
    "code": "AllocationTimedout",
    "message": "Desired number of dedicated nodes could not be allocated as the resize timeout was reached",
}


@pytest.fixture
def realistic(start: Any) -> Any:
    """Give an account of the realistic profile with a manual clock."""
    return start(profile="realistic", clock="manual")


def _codes(pool: dict[str, Any]) -> list[str]:
    return [error["code"] for error in pool.get("resizeErrors", ())]


def test_some_nodes_come_and_the_rest_is_an_error_after_the_resize_timeout(realistic: Any) -> None:
    control = realistic.emulator.control
    control.set_capacity(dedicated=2)
    realistic.create_pool(nodes=3, resizeTimeout="PT6M")

    control.advance(31)
    allocated = realistic.states()
    control.advance(20 + 308)
    waiting = realistic.states()
    control.advance(1)
    pool = realistic.send("GET", "/pools/linux")

    assert allocated == ["resizing", "creating", "creating"]
    assert waiting == ["resizing", "idle", "idle"]
    assert (pool["allocationState"], pool["currentDedicatedNodes"], pool["targetDedicatedNodes"]) == (
        "steady",
        2,
        3,
    )
    assert pool["resizeErrors"] == [TIMED_OUT]


def test_capacity_that_comes_in_time_ends_the_resize_well(realistic: Any) -> None:
    control = realistic.emulator.control
    control.set_capacity(dedicated=0)
    realistic.create_pool(nodes=1)
    control.advance(100)

    control.set_capacity(dedicated=1)
    pool = realistic.send("GET", "/pools/linux")

    assert (pool["allocationState"], pool["currentDedicatedNodes"], _codes(pool)) == ("steady", 1, [])
    control.advance(1000)
    assert realistic.states() == ["steady", "idle"]


def test_a_resize_that_waits_for_capacity_can_be_stopped(realistic: Any) -> None:
    control = realistic.emulator.control
    control.set_capacity(dedicated=1, spot=0)
    realistic.create_pool(nodes=2, targetLowPriorityNodes=1)
    control.advance(100)

    realistic.send("POST", "/pools/linux/stopresize")
    control.advance(5)
    pool = realistic.send("GET", "/pools/linux")
    control.advance(1000)

    assert (pool["allocationState"], pool["currentDedicatedNodes"]) == ("steady", 1)
    assert _codes(pool) == ["ResizeStopped", "ResizeStopped"]
    assert realistic.send("GET", "/pools/linux") == pool


def test_a_pool_can_be_deleted_while_it_waits_for_capacity(realistic: Any) -> None:
    realistic.emulator.control.set_capacity(dedicated=1)
    realistic.create_pool(nodes=2)
    realistic.emulator.control.advance(100)

    realistic.send("DELETE", "/pools/linux")
    realistic.emulator.control.advance(1000)

    assert realistic.send("GET", "/pools/linux")["code"] == "PoolNotFound"


def test_a_formula_changes_the_targets_of_a_resize_that_waits_for_capacity(realistic: Any) -> None:
    control = realistic.emulator.control
    control.set_capacity(dedicated=1)
    formula = {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes=2"}
    realistic.create_pool(nodes=None, **formula)
    control.advance(100)
    waiting = realistic.send("GET", "/pools/linux")

    realistic.send("POST", "/pools/linux/enableautoscale", {"autoScaleFormula": "$TargetDedicatedNodes=1"})
    control.advance(31)
    fewer = realistic.send("GET", "/pools/linux")

    assert (waiting["allocationState"], waiting["currentDedicatedNodes"]) == ("resizing", 1)
    assert (fewer["allocationState"], fewer["targetDedicatedNodes"], _codes(fewer)) == ("steady", 1, [])


@pytest.mark.parametrize(
    ("quota", "more", "code", "nodes"),
    [
        pytest.param({"dedicated_cores": 5}, {}, "AccountCoreQuotaReached", 2, id="cores"),
        pytest.param(
            {"spot_cores": 3},
            {"nodes": 0, "targetLowPriorityNodes": 3},
            "AccountSpotCoreQuotaReached",
            1,
            id="spot cores",
        ),
        pytest.param(
            {"nodes_per_pool": 1},
            {"enableInterNodeCommunication": True},
            "CommunicationEnabledPoolReachedMaxVMCount",
            1,
            id="nodes of a pool",
        ),
    ],
)
def test_nodes_beyond_a_quota_do_not_come(
    realistic: Any, quota: dict[str, int], more: dict[str, Any], code: str, nodes: int
) -> None:
    realistic.emulator.control.set_quota(**quota)
    realistic.create_pool(**{"nodes": 3, **more})
    realistic.emulator.control.advance(31)
    pool = realistic.send("GET", "/pools/linux")

    assert (pool["allocationState"], _codes(pool)) == ("steady", [code])
    assert pool["currentDedicatedNodes"] + pool["currentLowPriorityNodes"] == nodes


def test_the_nodes_of_a_pool_without_communication_are_not_limited(realistic: Any) -> None:
    realistic.emulator.control.set_quota(nodes_per_pool=1)
    realistic.create_pool(nodes=2)
    realistic.emulator.control.advance(31)

    assert _codes(realistic.send("GET", "/pools/linux")) == []


def test_pools_and_jobs_beyond_their_quotas_are_refused(account: Any) -> None:
    account.emulator.control.set_quota(pools=1, active_jobs=1)
    account.create_pool(nodes=0)
    job = {"id": "one", "poolInfo": {"poolId": "linux"}}
    assert account.send("POST", "/jobs", job) == 201

    other = {**account.send("GET", "/pools/linux"), "id": "two"}
    kept = ("id", "vmSize", "virtualMachineConfiguration")
    refused_pool = account.send("POST", "/pools", {name: other[name] for name in kept})
    refused_job = account.send("POST", "/jobs", {**job, "id": "two"})
    schedule = {"id": "s", "schedule": {}, "jobSpecification": {"poolInfo": {"poolId": "linux"}}}
    refused_schedule = account.send("POST", "/jobschedules", schedule)

    assert refused_pool["code"] == "PoolQuotaReached"
    assert refused_job["code"] == refused_schedule["code"] == "ActiveJobAndScheduleQuotaReached"


@pytest.mark.parametrize(
    ("chance", "code", "seconds"),
    [
        pytest.param("allocation_timed_out", "AllocationTimedout", 900, id="time"),
        pytest.param("quota_reached", "AccountCoreQuotaReached", 31, id="quota"),
    ],
)
def test_a_random_fault_allocates_half_of_the_nodes(
    start: Any, chance: str, code: str, seconds: float
) -> None:
    account = start(profile="realistic", clock="manual", fault_rates={chance: 1})
    account.create_pool(nodes=4)

    account.emulator.control.advance(seconds)
    pool = account.send("GET", "/pools/linux")

    assert (pool["allocationState"], pool["currentDedicatedNodes"], _codes(pool)) == ("steady", 2, [code])


def test_a_pool_that_has_its_nodes_lacks_nothing_when_capacity_goes(account: Any) -> None:
    account.create_pool(nodes=2)
    account.wait_for_nodes("linux", "idle", 2)
    account.emulator.control.set_capacity(dedicated=1)
    account.emulator.control.set_quota(dedicated_cores=1)

    account.send("POST", "/pools/linux/resize", {"targetDedicatedNodes": 2})
    eventually(lambda: account.states()[0] == "steady")

    assert _codes(account.send("GET", "/pools/linux")) == []


def test_an_empty_pool_lacks_nothing(start: Any) -> None:
    account = start(fault_rates={"quota_reached": 1, "allocation_timed_out": 1})
    account.emulator.control.set_capacity(dedicated=0, spot=0)
    account.create_pool(nodes=0)
    account.wait_for_nodes("linux", "idle", 0)

    assert _codes(account.send("GET", "/pools/linux")) == []


def test_a_pool_grows_no_larger_than_a_laptop_can_bear(realistic: Any) -> None:
    realistic.create_pool(nodes=2**31 - 1)
    realistic.emulator.control.advance(31)
    pool = realistic.send("GET", "/pools/linux")

    assert pool["currentDedicatedNodes"] == 10_000
    assert _codes(pool) == ["AccountCoreQuotaReached"]
