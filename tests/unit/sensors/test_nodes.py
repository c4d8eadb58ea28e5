"""One table of pools, and what each of the four ways to wait for its nodes makes of it: the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_batchlinux.exceptions import PoolNotReadyError
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import Deferral, TaskRun, resume_task, run_task, run_to_end, run_trigger
from tests.delays import POOL_RESIZED, POOL_STOPPED

POLL = 0.02


@dataclass(frozen=True)
class Seen:
    """What a way to wait came to: ready with nodes by state, failed for a reason, or still waiting."""

    outcome: str
    nodes: dict[str, int] | None = None
    reason: str = ""


def poke(pool_id: str, **policy: Any) -> Seen:
    sensor = BatchLinuxNodesIdleSensor(task_id="nodes", pool_id=pool_id, **policy)
    try:
        found = sensor.poke({})
    except PoolNotReadyError as error:
        return Seen("failed", reason=str(error))
    result: Any = found.xcom_value
    return Seen("ready", result["nodes"]) if found.is_done else Seen("waiting")


def block(pool_id: str, **policy: Any) -> Seen:
    return _seen(run_task(_sensor(pool_id, deferrable=False, **policy)))


def defer(pool_id: str, **policy: Any) -> Seen:
    return _seen(run_to_end(_sensor(pool_id, deferrable=True, **policy)))


def trigger_alone(pool_id: str, **policy: Any) -> Seen:
    trigger = _sensor(pool_id, deferrable=True, **policy).trigger(time.time() + POLL)
    deferral = Deferral(*trigger.serialize(), timeout=None, next_method="execute_complete")
    deferred = TaskRun("deferred", None, {}, {}, "", deferral)
    return _seen(resume_task(_sensor(pool_id, deferrable=True), deferred, run_trigger(deferral)))


def _sensor(pool_id: str, *, deferrable: bool, **policy: Any) -> BatchLinuxNodesIdleSensor:
    return BatchLinuxNodesIdleSensor(
        task_id="nodes", pool_id=pool_id, deferrable=deferrable, poke_interval=POLL, timeout=POLL, **policy
    )


def _seen(run: TaskRun) -> Seen:
    if run.state == "success":
        return Seen("ready", run.result["nodes"])
    if type(run.error).__name__ == "AirflowSensorTimeout":
        return Seen("waiting")
    assert isinstance(run.error, PoolNotReadyError)
    return Seen("failed", reason=run.message)


@pytest.fixture(params=[pytest.param(way, id=way.__name__) for way in (poke, block, defer, trigger_alone)])
def look(request: pytest.FixtureRequest) -> Callable[..., Seen]:
    way: Callable[..., Seen] = request.param
    return way


class TestReady:
    @pytest.mark.parametrize(
        ("dedicated", "spot"),
        [
            pytest.param(2, 0, id="dedicated nodes"),
            pytest.param(0, 2, id="spot nodes only"),
            pytest.param(1, 1, id="both kinds"),
        ],
    )
    def test_a_pool_whose_nodes_are_idle_is_ready(self, account, look, dedicated, spot):
        account.make_pool(dedicated=dedicated, spot=spot, until={"idle": 2})

        assert look("etl") == Seen("ready", {"idle": 2})

    def test_an_empty_pool_is_ready_where_that_is_allowed(self, account, look):
        account.make_pool(until={})

        assert look("etl", allow_empty=True) == Seen("ready", {})

    def test_a_running_node_is_ready_where_that_is_allowed(self, account, look):
        account.idle_pool(2)
        account.put_node("running")

        assert look("etl", running_is_ready=True) == Seen("ready", {"idle": 1, "running": 1})

    def test_a_start_task_that_succeeded_makes_its_node_ready(self, account, look):
        account.make_pool(dedicated=1, start_task="true", until={"idle": 1})

        assert look("etl") == Seen("ready", {"idle": 1})


class TestWaiting:
    @pytest.mark.parametrize(
        "state",
        [
            pytest.param("running", id="running"),
            pytest.param("preempted", id="preempted"),
            pytest.param("offline", id="offline"),
            pytest.param("unknown", id="unknown"),
        ],
    )
    def test_a_node_that_may_become_idle_is_waited_for(self, account, look, state):
        account.idle_pool(2)
        account.put_node(state)

        assert look("etl") == Seen("waiting")

    def test_a_node_whose_start_task_runs_is_waited_for(self, account, look):
        account.make_pool(dedicated=1, start_task="sleep 600", until={"waitingforstarttask": 1})

        assert look("etl") == Seen("waiting")

    def test_a_pool_that_is_being_allocated_is_waited_for(self, slow_account, look):
        slow_account.make_pool(dedicated=2)

        assert look("etl") == Seen("waiting")

    def test_nodes_that_boot_are_waited_for(self, slow_account, look):
        slow_account.make_pool(dedicated=2)
        slow_account.control.advance(POOL_RESIZED)

        assert slow_account.hook.node_counts("etl") == {"creating": 2}
        assert look("etl") == Seen("waiting")

    def test_a_resize_that_was_stopped_by_request_is_no_failure(self, slow_account, look):
        slow_account.make_pool(dedicated=2)
        slow_account.hook.run(lambda client: client.sdk.begin_stop_pool_resize("etl"))
        slow_account.control.advance(POOL_STOPPED)

        [error] = slow_account.hook.find_pool("etl").resize_errors
        assert error.code == "ResizeStopped"
        assert look("etl") == Seen("waiting")


class TestFailed:
    def test_a_pool_that_asks_for_no_nodes_fails(self, account, look):
        account.make_pool(until={})

        seen = look("etl")

        assert seen.outcome == "failed"
        assert "asks for no nodes" in seen.reason
        assert "allow_empty=True" in seen.reason

    def test_a_failed_start_task_shows_its_exit_code_and_the_end_of_its_output(self, account, look):
        command = "echo looking for jq; echo jq is missing >&2; exit 3"
        account.make_pool(dedicated=1, start_task=command, until={"starttaskfailed": 1})

        seen = look("etl")

        assert seen.outcome == "failed"
        assert "exit code 3" in seen.reason
        assert "looking for jq" in seen.reason
        assert "jq is missing" in seen.reason

    def test_one_failed_start_task_fails_a_pool_of_many_nodes(self, account, look):
        command = "[ $AZ_BATCH_NODE_IS_DEDICATED = true ]"
        account.make_pool(dedicated=2, spot=1, start_task=command, until={"idle": 2, "starttaskfailed": 1})

        assert look("etl").outcome == "failed"

    def test_an_unusable_node_fails_with_the_errors_that_the_service_names(self, account, look):
        account.idle_pool(2)
        disk = {"name": "Reason", "value": "the disk is full"}
        error = {"code": "DiskFull", "message": "No space is left.", "errorDetails": [disk]}
        node_id = account.put_node("unusable", errors=[error])

        seen = look("etl")

        assert seen.outcome == "failed"
        for part in (node_id, "DiskFull", "No space is left.", "the disk is full"):
            assert part in seen.reason

    def test_an_unusable_node_without_errors_fails_and_says_so(self, account, look):
        account.idle_pool(1)
        account.put_node("unusable")

        seen = look("etl")

        assert seen.outcome == "failed"
        assert "names no cause" in seen.reason

    @pytest.mark.parametrize(
        ("quota", "nodes", "code"),
        [
            pytest.param("dedicated_cores", "dedicated", "AccountCoreQuotaReached", id="dedicated"),
            pytest.param("spot_cores", "spot", "AccountSpotCoreQuotaReached", id="spot"),
        ],
    )
    def test_a_used_up_core_quota_fails_with_its_remedy(self, account, look, quota, nodes, code):
        account.control.set_quota(**{quota: 2})
        account.make_pool(**{nodes: 3}, until={"idle": 1})

        seen = look("etl")

        assert seen.outcome == "failed"
        assert "1 of 3 nodes" in seen.reason
        assert code in seen.reason
        assert "Remedy: ask for a higher" in seen.reason

    def test_an_allocation_that_timed_out_fails_with_what_the_service_said(self, account, look):
        account.control.resize_error("etl", "AllocationTimedOut", "No nodes in time.", {"Zone": "2"})
        account.make_pool(dedicated=1, until={})

        seen = look("etl")

        assert seen.outcome == "failed"
        assert "AllocationTimedOut: No nodes in time. (Zone: 2)" in seen.reason

    @pytest.mark.usefixtures("account")
    def test_a_pool_that_was_never_created_fails(self, look):
        seen = look("nowhere")

        assert seen == Seen(
            "failed", None, "Pool 'nowhere' does not exist: it was deleted, or never created."
        )

    def test_a_pool_that_is_being_deleted_fails(self, slow_account, look):
        slow_account.make_pool(dedicated=1)
        slow_account.hook.delete_pool("etl")

        assert look("etl") == Seen("failed", reason="Pool 'etl' is being deleted.")

    def test_a_pool_that_was_deleted_fails(self, account, look):
        account.idle_pool(1)
        account.delete_pool("etl")

        assert look("etl").reason.startswith("Pool 'etl' does not exist")
