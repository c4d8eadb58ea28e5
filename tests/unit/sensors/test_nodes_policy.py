"""The policies of the sensor, its limits and what it does at its time-out, against the embedded service."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.pools.readiness import NodesIdleWait
from airflow_provider_batchlinux.core.instants import rest_instant
from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX
from airflow_provider_batchlinux.exceptions import PoolNotReadyError
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import make_trigger, run_task, run_to_end
from tests.batch_account import eventually
from tests.faults import meanwhile

WAYS = pytest.mark.parametrize("deferrable", [False, True])


def sensor(**options: Any) -> BatchLinuxNodesIdleSensor:
    return BatchLinuxNodesIdleSensor(
        **{"task_id": "nodes", "pool_id": "etl", "poke_interval": 0.02, "timeout": 0.05, **options}
    )


class TestPolicies:
    @WAYS
    def test_enough_nodes_are_enough(self, account, deferrable):
        account.idle_pool(3)
        account.put_node("offline")

        assert run_to_end(sensor(ready=2, deferrable=deferrable)).result["nodes"] == {"idle": 2, "offline": 1}
        assert run_to_end(sensor(ready="{{ 60 }}%", deferrable=deferrable)).state == "success"
        assert run_to_end(sensor(ready="70%", deferrable=deferrable)).state == "failed"

    @WAYS
    def test_spot_nodes_that_were_taken_away_are_not_waited_for(self, account, deferrable):
        account.make_pool(dedicated=1, spot=1, until={"idle": 2})
        [spot] = [node.node_id for node in account.nodes() if not node.dedicated]
        account.control.set_node("etl", spot, "preempted")

        assert run_to_end(sensor(spot_optional=True, deferrable=deferrable)).state == "success"
        assert run_to_end(sensor(deferrable=deferrable)).state == "failed"

    @WAYS
    def test_nodes_that_are_left_out_are_told_with_their_cause(self, account, deferrable):
        start_task = "echo no disk >&2; [ $AZ_BATCH_NODE_IS_DEDICATED = true ]"
        account.make_pool(dedicated=2, spot=1, start_task=start_task, until={"idle": 2, "starttaskfailed": 1})

        run = run_to_end(sensor(max_failed_nodes=1, deferrable=deferrable))

        assert run.result["nodes"] == {"idle": 2, "starttaskfailed": 1}
        assert "no disk" in run.log

    def test_an_unusable_node_that_is_left_out_is_logged(self, account):
        account.make_pool(dedicated=1, spot=1, until={"idle": 2})
        account.put_node("unusable")

        run = run_task(sensor(max_failed_nodes=1))

        assert "Left out: 1 unusable." in run.log
        assert "Output of the start task" not in run.log

    @pytest.mark.parametrize(
        "fault",
        [{"status": 409, "code": "NodeStateUnusable"}, {"drop": "before"}],
        ids=["refused", "dropped"],
    )
    def test_a_node_that_tells_nothing_any_more_changes_nothing_about_the_failure(self, account, fault):
        account.make_pool(dedicated=1, start_task="exit 3", until={"starttaskfailed": 1})
        account.control.inject(path="/nodes/.*/files/", times=None, **fault)

        run = run_task(sensor())

        assert isinstance(run.error, PoolNotReadyError)
        assert "exit code 3" in run.message
        assert "stderr: not available" in run.message

    def test_a_policy_that_makes_no_sense_fails_in_words(self, account):
        account.idle_pool(1)

        assert "ready='most' is not 'all'" in run_task(sensor(ready="most", max_failed_nodes=0)).message

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            pytest.param({"on_timeout": "panic"}, "on_timeout='panic' is not one of", id="on_timeout"),
            pytest.param({"boot_limit": 0}, "boot_limit=0 is not a duration above zero", id="a limit"),
        ],
    )
    def test_a_wrong_argument_fails_the_task_before_any_request(self, account, options, problem):
        assert problem in run_task(sensor(**options)).message
        assert account.requests() == []


class TestResizeErrors:
    @WAYS
    def test_an_error_from_before_the_request_does_not_count(self, account, deferrable):
        before = rest_instant(account.control.now() - timedelta(seconds=1))
        account.control.resize_error("etl", "AccountCoreQuotaReached", "No cores.")
        account.make_pool(dedicated=1, until={})
        after = rest_instant(account.control.now() + timedelta(seconds=1))

        counts = run_to_end(sensor(requested_at=before, deferrable=deferrable))
        does_not = run_to_end(sensor(requested_at=after, deferrable=deferrable))

        assert "No cores." in counts.message
        assert isinstance(counts.error, PoolNotReadyError)
        assert type(does_not.error).__name__ == "AirflowSensorTimeout"

    def test_an_error_that_passes_gets_its_time(self, account):
        account.control.resize_error("etl", "AllocationTimedOut", "No nodes in time.")
        account.make_pool(dedicated=1, until={})

        assert not sensor(resize_error_limit=600).poke({}).is_done
        with pytest.raises(PoolNotReadyError, match="No nodes in time"):
            sensor().poke({})


class TestLimits:
    def look_after(self, account: Any, seconds: float, **limits: Any) -> Any:
        account.control.advance(seconds)

        async def scenario(client: Any) -> Any:
            wait = sensor(**limits).trigger().wait(client)
            assert isinstance(wait, NodesIdleWait)
            wait.clock = account.control.now
            return await wait.poll()

        return account.hook.run(scenario)

    def test_an_allocation_that_takes_too_long_fails(self, slow_account):
        slow_account.make_pool(dedicated=2)

        assert self.look_after(slow_account, 20, allocation_limit=20) is None
        with pytest.raises(PoolNotReadyError, match=r"longer than allocation_limit \(20 s\)"):
            self.look_after(slow_account, 5, allocation_limit=20)

    def test_a_boot_that_takes_too_long_fails_and_names_the_nodes(self, slow_account):
        slow_account.make_pool(dedicated=2, start_task="sleep 600")
        slow_account.control.advance(35)

        assert self.look_after(slow_account, 30, boot_limit=60) is None
        with pytest.raises(PoolNotReadyError, match="still waitingforstarttask after boot_limit"):
            self.look_after(slow_account, 60, boot_limit=60)

    def test_a_node_that_was_deallocated_for_long_may_start_within_its_limit(self, slow_account):
        slow_account.make_pool(dedicated=1)
        slow_account.control.advance(600)
        slow_account.wait_for_nodes({"idle": 1})
        node_id = slow_account.nodes()[0].node_id
        slow_account.hook.run(lambda client: client.deallocate_node("etl", node_id))
        slow_account.control.advance(86_400)
        slow_account.wait_for_nodes({"deallocated": 1})
        slow_account.hook.run(lambda client: client.start_node("etl", node_id))

        assert self.look_after(slow_account, 30, boot_limit=300) is None
        assert slow_account.nodes()[0].state == "starting"
        assert self.look_after(slow_account, 30, boot_limit=300) is None
        slow_account.control.advance(300)
        slow_account.wait_for_nodes({"idle": 1})


def make_ours(**more: Any) -> None:
    create = BatchLinuxCreatePoolOperator(
        task_id="create",
        pool_id="etl",
        image="ubuntu 24.04",
        vm_size="standard_d2s_v5",
        dedicated_nodes=1,
        **more,
    )
    assert run_task(create).state == "success"


class TestTimeout:
    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({}, id="blocking"),
            pytest.param({"deferrable": True}, id="deferred"),
            pytest.param({"soft_fail": True}, id="blocking, soft fail"),
            pytest.param({"deferrable": True, "soft_fail": True}, id="deferred, soft fail"),
        ],
    )
    def test_a_pool_of_ours_is_deleted_where_that_is_asked(self, slow_account, options):
        make_ours()

        run = run_to_end(sensor(on_timeout="delete_pool", **options))

        assert run.state == ("skipped" if "soft_fail" in options else "failed")
        assert "is being deleted, because its nodes were not ready in time" in run.log
        assert slow_account.hook.find_pool("etl").state == "deleting"

    @WAYS
    @pytest.mark.usefixtures("account")
    def test_a_boot_that_takes_longer_than_its_limit_deletes_the_pool_too(self, deferrable):
        make_ours(start_task="sleep 3600")

        run = run_to_end(
            sensor(on_timeout="delete_pool", boot_limit=0.001, deferrable=deferrable, timeout=30)
        )

        assert isinstance(run.error, PoolNotReadyError)
        assert "after boot_limit" in run.message
        assert "is being deleted, because its nodes were not ready in time" in run.log

    def test_a_node_that_is_broken_makes_a_late_one_no_time_out(self, account):
        make_ours(spot_nodes=1, start_task="sleep 3600")
        eventually(lambda: account.hook.node_counts("etl") == {"waitingforstarttask": 2})
        account.put_node("unusable")

        run = run_to_end(sensor(on_timeout="delete_pool", boot_limit=0.001, timeout=30))

        assert "1 unusable and 1 waitingforstarttask" in run.message
        assert account.hook.find_pool("etl").state == "active"

    def test_a_pool_of_another_client_is_kept(self, slow_account):
        slow_account.make_pool(dedicated=1)

        run = run_to_end(sensor(on_timeout="delete_pool"))

        assert "is kept: it is not known to belong to this Dag run only" in run.log
        assert slow_account.hook.find_pool("etl").state == "active"

    @WAYS
    def test_a_pool_that_another_dag_run_has_made_is_kept(self, slow_account, deferrable):
        make_ours()
        name = f"{METADATA_PREFIX}run_id"
        slow_account.hook.run(
            lambda client: change_metadata(client, "etl", lambda marks: {**marks, name: "another"})
        )

        run = run_to_end(sensor(on_timeout="delete_pool", deferrable=deferrable))

        assert "is kept: it is not known to belong to this Dag run only" in run.log
        assert slow_account.hook.find_pool("etl").state == "active"

    def test_it_is_kept_unless_that_is_asked(self, slow_account):
        make_ours()
        run_to_end(sensor())

        assert slow_account.hook.find_pool("etl").state == "active"

    @WAYS
    @pytest.mark.parametrize(
        ("options", "state"),
        [
            pytest.param({}, "failed", id="plain"),
            pytest.param({"never_fail": True}, "skipped", id="skipped instead"),
        ],
    )
    def test_a_failure_is_no_time_out(self, account, deferrable, options, state):
        make_ours(start_task="exit 3")
        eventually(lambda: account.hook.node_counts("etl") == {"starttaskfailed": 1})

        run = run_to_end(sensor(on_timeout="delete_pool", deferrable=deferrable, timeout=5, **options))

        assert run.state == state
        assert account.hook.find_pool("etl").state == "active"

    def test_a_deletion_that_is_refused_leaves_the_time_out_as_it_is(self, slow_account):
        make_ours()
        slow_account.control.inject("DELETE", "/pools/etl", status=403, code="OperationForbidden")

        run = run_to_end(sensor(on_timeout="delete_pool"))

        assert type(run.error).__name__ == "AirflowSensorTimeout"
        assert "could not be deleted" in run.log


def deferred_trigger(**options: Any) -> Any:
    """Leave the wait to the triggerer, and give the trigger as that makes it."""
    run = run_task(sensor(deferrable=True, timeout=30, **options))
    assert run.deferral is not None, run.message
    return make_trigger(run.deferral)


class TestKill:
    @pytest.fixture(params=["worker", "triggerer"])
    def kill(self, request):
        def kill(**options: Any) -> None:
            if request.param == "triggerer":
                asyncio.run(deferred_trigger(**options).on_kill())
                return
            slow.control.clear_requests()
            with meanwhile(kill_once_looked):
                run_task(sensor(timeout=2, **options))

        def kill_once_looked() -> None:
            eventually(lambda: len(slow.requests()) >= 4)
            os.kill(os.getpid(), signal.SIGTERM)

        slow = request.getfixturevalue("slow_account")
        return kill

    def test_a_pool_of_ours_is_deleted_where_that_is_asked(self, slow_account, kill):
        make_ours()

        kill(when_killed="delete_pool")

        assert slow_account.hook.find_pool("etl").state == "deleting"

    def test_a_pool_of_another_client_is_kept(self, slow_account, kill):
        slow_account.make_pool(dedicated=1)

        kill(when_killed="delete_pool")

        assert slow_account.hook.find_pool("etl").state == "active"

    def test_it_is_kept_and_nothing_changed_unless_that_is_said(self, slow_account, kill):
        make_ours()
        slow_account.control.clear_requests()

        kill()

        assert all(asked.startswith("GET") for asked in slow_account.requests())

    def test_a_task_that_is_marked_as_a_success_keeps_the_pool_for_what_comes_next(self, slow_account):
        make_ours()
        trigger = deferred_trigger(when_killed="delete_pool")
        trigger.marked_success = True

        asyncio.run(trigger.on_kill())

        assert slow_account.hook.find_pool("etl").state == "active"

    def test_what_a_kill_does_to_the_pool_is_checked_before_any_request(self, account):
        run = run_task(sensor(when_killed="burn"))

        assert "when_killed='burn' is not one of keep, delete_pool" in run.message
        assert account.requests() == []


@pytest.mark.parametrize("nothing", [None, "", "None"])
def test_what_a_template_makes_of_nothing_is_no_instant(account, nothing):
    account.idle_pool(1)

    assert run_to_end(sensor(requested_at=nothing)).state == "success"


def test_a_kill_before_the_parameters_are_rendered_does_nothing():
    sensor(requested_at="{{ params.nothing }}", when_killed="delete_pool").on_kill()
