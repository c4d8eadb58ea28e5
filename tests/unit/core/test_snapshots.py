"""Snapshots of pools and nodes as the service reports them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.core.snapshots import (
    Endpoint,
    NodeSnapshot,
    PoolSnapshot,
    ServiceError,
    counts_from_rest,
    counts_of,
)

POOL = {
    "id": "etl",
    "state": "active",
    "allocationState": "steady",
    "allocationStateTransitionTime": "2026-03-01T12:00:00.1234567Z",
    "currentDedicatedNodes": 1,
    "currentLowPriorityNodes": 0,
    "targetDedicatedNodes": 2,
    "targetLowPriorityNodes": 3,
    "enableAutoScale": False,
    "resizeErrors": [
        {
            "code": "AccountCoreQuotaReached",
            "message": "Quota reached.",
            "values": [{"name": "Reason", "value": "4 cores"}],
        }
    ],
}


def endpoint_row(**changes: Any) -> dict[str, Any]:
    row = {
        "name": "ssh.0",
        "protocol": "tcp",
        "publicIPAddress": "52.0.0.1",
        "publicFQDN": "node.example.org",
        "frontendPort": 40_001,
        "backendPort": 22,
    }
    return {**row, **changes}


def node_with(*endpoints: dict[str, Any]) -> NodeSnapshot:
    return NodeSnapshot.from_rest({"id": "n", "endpointConfiguration": {"inboundEndpoints": endpoints}})


def test_a_pool_is_read_as_the_service_reports_it() -> None:
    pool = PoolSnapshot.from_rest(POOL)

    assert pool == PoolSnapshot(
        pool_id="etl",
        state="active",
        allocation_state="steady",
        allocation_state_since=datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=timezone.utc),
        target_dedicated=2,
        target_spot=3,
        current_dedicated=1,
        current_spot=0,
        autoscale=False,
        resize_errors=(ServiceError("AccountCoreQuotaReached", "Quota reached.", (("Reason", "4 cores"),)),),
    )
    assert (pool.target, pool.current) == (5, 1)


def test_what_the_service_leaves_out_of_a_pool_reads_as_nothing() -> None:
    pool = PoolSnapshot.from_rest({"id": "etl"})

    assert (pool.state, pool.allocation_state, pool.allocation_state_since) == ("", "", None)
    assert (pool.target, pool.current, pool.autoscale, pool.resize_errors) == (0, 0, False, ())


def test_states_are_compared_without_regard_to_case() -> None:
    assert PoolSnapshot.from_rest({**POOL, "allocationState": "Steady"}).allocation_state == "steady"
    assert NodeSnapshot.from_rest({"id": "n", "state": "StartTaskFailed"}).state == "starttaskfailed"


def test_a_node_is_read_with_its_start_task_and_errors() -> None:
    node = NodeSnapshot.from_rest(
        {
            "id": "tvm-1",
            "state": "starttaskfailed",
            "isDedicated": False,
            "ipAddress": "10.0.0.4",
            "startTaskInfo": {
                "state": "completed",
                "result": "Failure",
                "exitCode": 100,
                "failureInfo": {"code": "FailureExitCode", "message": "It failed.", "details": []},
            },
            "errors": [{"code": "DiskFull", "errorDetails": [{"name": "Disk", "value": "/mnt"}]}],
        }
    )

    assert (node.node_id, node.state, node.dedicated) == ("tvm-1", "starttaskfailed", False)
    assert node.private_address == "10.0.0.4"
    assert node.errors == (ServiceError("DiskFull", "", (("Disk", "/mnt"),)),)
    assert node.start_task is not None
    assert (node.start_task.result, node.start_task.exit_code) == ("failure", 100)
    assert node.start_task.failure == ServiceError("FailureExitCode", "It failed.")


def test_a_node_of_which_nothing_is_known_is_in_an_unknown_state() -> None:
    node = NodeSnapshot.from_rest({"id": "tvm-1"})

    assert (node.state, node.dedicated, node.ssh, node.start_task, node.errors) == (
        "unknown",
        True,
        None,
        None,
        (),
    )


@pytest.mark.parametrize(
    ("rows", "endpoint"),
    [
        pytest.param([endpoint_row()], Endpoint("52.0.0.1", 40_001, public=True), id="an address"),
        pytest.param(
            [endpoint_row(publicIPAddress=None)],
            Endpoint("node.example.org", 40_001, public=True),
            id="a name only",
        ),
        pytest.param(
            [endpoint_row(backendPort=80, frontendPort=1), endpoint_row()],
            Endpoint("52.0.0.1", 40_001, public=True),
            id="behind the endpoint of another port",
        ),
        pytest.param([endpoint_row(backendPort=80)], None, id="another port only"),
        pytest.param([endpoint_row(publicIPAddress=None, publicFQDN=None)], None, id="no address"),
        pytest.param([endpoint_row(frontendPort=None)], None, id="no port outside"),
        pytest.param([], None, id="no endpoint"),
    ],
)
def test_ssh_is_reached_at_the_endpoint_of_port_22(
    rows: list[dict[str, Any]], endpoint: Endpoint | None
) -> None:
    assert node_with(*rows).ssh == endpoint


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(
            {"code": "AllocationFailed", "message": "No.", "values": [{"name": "Reason", "value": "full"}]},
            "AllocationFailed: No. (Reason: full)",
            id="a resize error",
        ),
        pytest.param(
            {
                "code": "DiskFull",
                "message": "Full.",
                "errorDetails": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}],
            },
            "DiskFull: Full. (a: 1; b: 2)",
            id="a node error",
        ),
        pytest.param({"code": "Odd", "message": "Odd."}, "Odd: Odd.", id="no details"),
        pytest.param({}, "Unknown: ", id="nothing at all"),
    ],
)
def test_an_error_of_the_service_is_told_with_its_details(body: dict[str, Any], text: str) -> None:
    assert str(ServiceError.from_rest(body)) == text


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        pytest.param(
            {"dedicated": {"idle": 1, "startTaskFailed": 2, "running": 0, "total": 3}},
            {"idle": 1, "starttaskfailed": 2},
            id="one kind of nodes",
        ),
        pytest.param(
            {"dedicated": {"idle": 1, "total": 1}, "lowPriority": {"idle": 2, "preempted": 1, "total": 3}},
            {"idle": 3, "preempted": 1},
            id="dedicated and spot nodes together",
        ),
        pytest.param({"dedicated": {"aNewState": 1}}, {"anewstate": 1}, id="a state of a later release"),
        pytest.param({"dedicated": None}, {}, id="no counts"),
        pytest.param({}, {}, id="nothing at all"),
    ],
)
def test_nodes_are_counted_by_state(row: dict[str, Any], counts: dict[str, int]) -> None:
    assert counts_from_rest(row) == counts


def test_a_list_of_nodes_is_counted_like_the_services_counts() -> None:
    nodes = [NodeSnapshot.from_rest({"id": str(n), "state": state}) for n, state in enumerate("aab")]

    assert counts_of(nodes) == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("endpoints", "only_others"),
    [
        pytest.param((), False, id="none is listed"),
        pytest.param(({"backendPort": 22},), False, id="SSH"),
        pytest.param(({"backendPort": 3389},), True, id="another port"),
        pytest.param(({"backendPort": 22, "protocol": "udp"},), True, id="the port over UDP"),
        pytest.param(({"backendPort": 80}, {"backendPort": 22}), False, id="SSH besides another port"),
    ],
)
def test_only_a_mapping_of_port_22_is_ssh(endpoints: tuple[dict[str, Any], ...], only_others: bool) -> None:
    node = node_with(*(endpoint_row(**changes) for changes in endpoints))

    assert node.maps_only_others is only_others
    assert (node.ssh is None) is (only_others or not endpoints)
