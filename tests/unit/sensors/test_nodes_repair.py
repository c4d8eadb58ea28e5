"""Broken nodes that the sensor repairs while it waits, against the embedded service."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.pools.readiness import NodesIdleWait
from airflow_provider_batchlinux.client.pools.repair import PoolRepair, RepairingWait, RepairStep
from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy
from airflow_provider_batchlinux.core.pools.repair import RepairHistory, with_history
from airflow_provider_batchlinux.exceptions import PoolNotReadyError
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from airflow_provider_batchlinux.specs import RepairSpec
from tests.airflow_harness import Deferral, run_task, run_to_end, run_trigger
from tests.batch_account import BatchAccount, eventually

SOON = 0.001


def sensor(**options: Any) -> BatchLinuxNodesIdleSensor:
    return BatchLinuxNodesIdleSensor(
        **{"task_id": "nodes", "pool_id": "etl", "poke_interval": 0.02, "timeout": 30, **options}
    )


def fails_at_first(folder: Path, times: int) -> str:
    """Give a start task that fails this number of times before it succeeds, on whichever node."""
    counter = folder / "runs"
    return f"n=$(cat {counter} || echo 0); echo $((n+1)) > {counter}; echo run $n; [ $n -ge {times} ]"


def asked(account: BatchAccount, what: str) -> int:
    return sum(request.startswith("POST") and request.endswith(what) for request in account.requests())


def targets(account: BatchAccount) -> tuple[int, int]:
    pool = account.hook.find_pool("etl")
    assert pool is not None
    return pool.target_dedicated, pool.target_spot


class TestReboots:
    @pytest.mark.parametrize("deferrable", [False, True])
    def test_a_start_task_that_fails_twice_is_ready_after_two_reboots(self, account, tmp_path, deferrable):
        account.make_pool(dedicated=1, start_task=fails_at_first(tmp_path, 2), until={"starttaskfailed": 1})

        run = run_to_end(sensor(repair={"reboots": 2}, deferrable=deferrable))

        assert run.state == "success", run.message
        assert asked(account, "/reboot") == run.result["repairs"] == 2

    def test_after_the_last_reboot_the_task_fails_with_the_output(self, account):
        account.make_pool(dedicated=1, start_task="echo no jq; exit 3", until={"starttaskfailed": 1})

        run = run_to_end(sensor(repair=RepairSpec(reboots=5)))

        assert isinstance(run.error, PoolNotReadyError)
        assert asked(account, "/reboot") == 5
        assert "exit code 3" in run.message
        assert "no jq" in run.message

    def test_what_was_done_is_known_to_the_next_who_waits(self, account):
        account.make_pool(dedicated=1, start_task="exit 3", until={"starttaskfailed": 1})
        run_to_end(sensor(repair={"reboots": 2}))

        run = run_to_end(sensor(repair={"reboots": 2}))

        assert isinstance(run.error, PoolNotReadyError)
        assert asked(account, "/reboot") == 2

    @pytest.mark.parametrize("waiting", [2, 12])
    def test_several_who_wait_do_nothing_twice(self, account, waiting):
        account.make_pool(dedicated=3, start_task="exit 3", until={"starttaskfailed": 3})
        account.control.inject("GET", "/pools/etl$", times=2 * waiting, delay=0.05)

        async def together(client: Any) -> list[Any]:
            waits = [sensor(repair={"reboots": 1}).trigger().wait(client) for _ in range(waiting)]
            return list(await asyncio.gather(*(wait.poll() for wait in waits)))

        assert account.hook.run(together) == [None] * waiting
        assert asked(account, "/reboot") == 3

    def test_a_mark_that_others_always_overtake_is_tried_again_at_the_next_look(self, account):
        account.make_pool(dedicated=1, start_task="exit 3", until={"starttaskfailed": 1})
        account.control.inject("PATCH", "/pools/etl$", times=None, status=412, code="ConditionNotMet")

        assert not sensor(repair={"reboots": 1}).poke({}).is_done
        assert asked(account, "/reboot") == 0

    def test_the_output_of_the_start_task_is_in_the_log_before_the_reboot(self, account, tmp_path):
        account.make_pool(dedicated=1, start_task=fails_at_first(tmp_path, 1), until={"starttaskfailed": 1})

        run = run_to_end(sensor(repair={"reboots": 1}))

        assert "run 0" in run.log
        assert "start task failed with exit code 1" in run.log

    def test_a_reboot_that_is_refused_does_not_fail_the_task(self, account, tmp_path):
        account.make_pool(dedicated=1, start_task=fails_at_first(tmp_path, 1), until={"starttaskfailed": 1})
        account.control.inject("POST", "/reboot$", status=409, code="OperationInvalidForCurrentState")

        result = sensor(repair={"reboots": 1}).poke({})

        assert not result.is_done


class TestReplacement:
    def test_an_unusable_node_is_replaced(self, account):
        account.idle_pool(2)
        lost = account.put_node("unusable")

        run = run_to_end(sensor(repair={"replace_unusable": True, "unusable_grace": SOON}))

        assert run.state == "success", run.message
        assert run.result["nodes"] == {"idle": 2}
        assert lost not in [node.node_id for node in account.nodes()]
        assert targets(account) == (2, 0)

    def test_enough_nodes_do_not_keep_the_pool_from_its_size(self, account):
        account.idle_pool(2)
        account.put_node("unusable")

        run = run_to_end(sensor(ready=1, repair={"replace_unusable": True, "unusable_grace": SOON}))

        assert run.state == "success"
        assert targets(account) == (2, 0)

    def test_within_its_grace_a_node_is_left_to_the_service(self, account):
        account.idle_pool(2)
        account.put_node("unusable")

        assert not sensor(repair={"replace_unusable": True}).poke({}).is_done
        assert asked(account, "/removenodes") == 0

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_a_wait_that_fails_on_another_node_begins_no_repair(self, account, deferrable):
        account.idle_pool(2)
        account.put_node("unusable")
        account.control.set_node("etl", account.nodes()[1].node_id, "starttaskfailed")

        run = run_to_end(
            sensor(repair={"replace_unusable": True, "unusable_grace": SOON}, deferrable=deferrable)
        )

        assert isinstance(run.error, PoolNotReadyError)
        assert asked(account, "/removenodes") == 0

    def test_a_restart_in_the_middle_is_taken_up(self, account):
        account.idle_pool(2)
        lost = account.put_node("unusable")
        sensor(repair={"replace_unusable": True, "unusable_grace": SOON}).poke({})
        eventually(lambda: lost not in [node.node_id for node in account.nodes()])
        assert targets(account) == (1, 0)

        run = run_to_end(sensor(repair={"replace_unusable": True, "unusable_grace": SOON}))

        assert run.state == "success"
        assert run.result["nodes"] == {"idle": 2}

    def test_a_node_that_breaks_between_two_lists_is_looked_at_again(self, account):
        account.idle_pool(2)

        class BreaksMeanwhile(PoolRepair):
            async def next_step(self, *seen: Any) -> RepairStep:
                step = await super().next_step(*seen)
                await asyncio.to_thread(account.put_node, "unusable")
                return step

        async def look(client: Any) -> Any:
            repair = BreaksMeanwhile(client, "etl", RepairSpec(replace_unusable=True))
            wait = RepairingWait(NodesIdleWait(client, "etl", ReadinessPolicy()), repair)
            return await wait.poll(), wait.status

        result, status = account.hook.run(look)

        assert result is None
        assert status.endswith("They are checked again.")


class TestAskingAgain:
    REPAIR: ClassVar[dict[str, Any]] = {"resize_again": 2, "resize_again_after": SOON}

    def unlucky_pool(self, account: BatchAccount, code: str, times: int) -> None:
        for _ in range(times):
            account.control.resize_error("etl", code, "No nodes in time.")
        account.make_pool(dedicated=1)

    @pytest.mark.parametrize("code", ["AllocationTimedOut", "AccountCoreQuotaReached"])
    @pytest.mark.parametrize("deferrable", [False, True])
    def test_nodes_that_a_pool_did_not_get_are_asked_for_again(self, account, deferrable, code):
        self.unlucky_pool(account, code, times=2)

        run = run_to_end(sensor(repair=self.REPAIR, deferrable=deferrable))

        assert run.state == "success", run.message
        assert asked(account, "/resize") == 2
        status = f"Allocated 0 of 1 nodes ({code}: No nodes in time.); retry 1 of 2 has been requested."
        assert deferrable or status in run.log

    def test_after_the_last_time_the_task_fails_with_the_cause(self, account):
        self.unlucky_pool(account, "AllocationTimedOut", times=4)

        run = run_to_end(sensor(repair=self.REPAIR))

        assert isinstance(run.error, PoolNotReadyError)
        assert "got 0 of 1 nodes and stopped" in run.message
        assert asked(account, "/resize") == 2

    def test_several_who_wait_ask_once(self, account):
        self.unlucky_pool(account, "AllocationTimedOut", times=1)
        eventually(lambda: account.hook.find_pool("etl").resize_errors)
        account.control.inject("GET", "/pools/etl$", times=8, delay=0.05)

        async def together(client: Any) -> list[Any]:
            waits = [sensor(repair=self.REPAIR).trigger().wait(client) for _ in range(4)]
            return list(await asyncio.gather(*(wait.poll() for wait in waits)))

        assert account.hook.run(together) == [None] * 4
        assert asked(account, "/resize") == 1

    def test_an_error_that_lasts_fails_the_task_at_once(self, account):
        self.unlucky_pool(account, "UnsupportedVMSize", times=1)

        run = run_to_end(sensor(repair=self.REPAIR))

        assert isinstance(run.error, PoolNotReadyError)
        assert asked(account, "/resize") == 0


class TestLogs:
    URL = "https://logs.invalid/nodes?sig=c0nfidential"

    @pytest.fixture
    def container(self, monkeypatch):
        monkeypatch.setenv(
            "AIRFLOW_CONN_NODE_LOGS", json.dumps({"conn_type": "generic", "password": self.URL})
        )

    REPAIR: ClassVar[dict[str, Any]] = {
        "replace_unusable": True,
        "unusable_grace": SOON,
        "logs_conn_id": "node_logs",
    }

    @pytest.mark.usefixtures("container")
    def test_the_logs_of_a_node_are_saved_before_it_is_removed_and_the_address_stays_secret(self, account):
        account.idle_pool(1)
        account.put_node("unusable")

        run = run_task(sensor(repair=self.REPAIR, deferrable=True))

        order = [request.rsplit("/", 1)[-1] for request in account.requests()]
        assert order.index("uploadbatchservicelogs") < order.index("removenodes")
        assert run.state == "deferred"
        assert "c0nfidential" not in run.everything_said

    @pytest.mark.usefixtures("container")
    def test_the_triggerer_reads_the_address_again(self, account):
        account.idle_pool(2)
        trigger = sensor(repair=self.REPAIR).trigger(deadline=time.time() + 0.5)
        account.put_node("unusable")
        deferral = Deferral(*trigger.serialize(), timeout=None, next_method="execute_complete")

        event = run_trigger(deferral)

        assert asked(account, "/uploadbatchservicelogs") == 1
        assert "c0nfidential" not in repr((deferral, event))

    @pytest.mark.usefixtures("container")
    def test_logs_that_cannot_be_saved_do_not_stop_the_repair(self, account):
        account.idle_pool(1)
        account.put_node("unusable")
        account.control.inject("POST", "/uploadbatchservicelogs$", status=409, code="NodeStateUnusable")

        run = run_to_end(sensor(repair=self.REPAIR))

        assert run.state == "success"
        assert "could not save the logs of node" in run.log
        assert "c0nfidential" not in run.everything_said

    def test_without_its_connection_nodes_are_replaced_all_the_same(self, account):
        account.idle_pool(1)
        account.put_node("unusable")
        repair = {"replace_unusable": True, "unusable_grace": SOON, "logs_conn_id": "nowhere"}

        run = run_to_end(sensor(repair=repair))

        assert run.state == "success"
        assert "No logs are saved: connection 'nowhere' cannot be read" in run.log


class TestCircuitBreaker:
    def test_too_many_repairs_fail_the_task_with_the_reason(self, account):
        account.make_pool(dedicated=3, start_task="echo no jq; exit 3", until={"starttaskfailed": 3})

        run = run_to_end(sensor(repair={"reboots": 9, "max_repairs": 4}))

        assert isinstance(run.error, PoolNotReadyError)
        assert "max_repairs is 4" in run.message
        assert "no jq" in run.message
        assert asked(account, "/reboot") <= 4
        assert targets(account) == (3, 0)

    def test_nodes_that_do_not_boot_cost_nothing_where_that_is_asked(self, account):
        account.make_pool(dedicated=2, start_task="exit 3", until={"starttaskfailed": 2})
        repair = {"reboots": 9, "max_repairs": 1, "when_exhausted": "resize_to_zero"}

        run = run_to_end(sensor(repair=repair))

        assert "It is resized to 0 nodes." in run.message
        assert targets(account) == (0, 0)


def test_a_resize_to_zero_that_is_refused_is_repeated(account):
    account.idle_pool(2)
    for node in account.nodes():
        account.control.set_node("etl", node.node_id, "unusable")
    account.control.inject("POST", "/resize$", times=2, status=409, code="PoolBeingResized")
    repair = {"replace_unusable": True, "unusable_grace": SOON, "max_repairs": 1}

    run = run_to_end(sensor(repair={**repair, "when_exhausted": "resize_to_zero"}))

    assert "It is resized to 0 nodes." in run.message
    assert targets(account) == (0, 0)


def test_a_pool_that_is_ready_without_it_is_not_given_up(account):
    account.idle_pool(3)
    account.put_node("unusable")
    repair = {"replace_unusable": True, "unusable_grace": SOON, "max_repairs": 1}
    history = RepairHistory(total=1)
    account.hook.run(
        lambda client: change_metadata(client, "etl", lambda marks: with_history(marks, history))
    )

    run = run_to_end(sensor(ready=2, repair={**repair, "when_exhausted": "resize_to_zero"}))

    assert run.state == "success", run.message
    assert targets(account) == (3, 0)


@pytest.mark.parametrize("text", ["False", "false", "{{ 1 == 2 }}"])
def test_a_template_that_says_no_removes_nothing(account, text):
    account.idle_pool(1)
    account.put_node("unusable")

    run = run_to_end(sensor(repair={"replace_unusable": text, "unusable_grace": "0.001", "reboots": "2"}))

    assert isinstance(run.error, PoolNotReadyError)
    assert asked(account, "/removenodes") == 0


def test_the_templates_inside_a_spec_object_are_rendered(account):
    account.idle_pool(1)
    account.put_node("unusable")
    spec = RepairSpec(replace_unusable="{{ 1 == 1 }}", unusable_grace="{{ '0.001' }}", reboots="{{ 1 + 1 }}")  # type: ignore[arg-type]

    run = run_to_end(sensor(repair=spec))

    assert run.state == "success", run.error
    assert asked(account, "/removenodes") == 1


def test_a_size_that_was_asked_for_since_is_not_undone(account):
    account.idle_pool(3)
    account.put_node("unusable")
    sensor(repair={"replace_unusable": True, "unusable_grace": SOON}).poke({})
    eventually(lambda: targets(account) == (2, 0))
    eventually(lambda: account.hook.find_pool("etl").allocation_state == "steady")
    body = {"targetDedicatedNodes": 1, "targetLowPriorityNodes": 0}
    account.hook.run(lambda client: client.resize_pool("etl", body))

    run = run_to_end(sensor(repair={"replace_unusable": True, "unusable_grace": SOON}))

    assert run.result["nodes"] == {"idle": 1}
    assert targets(account) == (1, 0)


def test_a_repair_with_a_wrong_field_is_refused_before_any_request(account):
    run = run_task(sensor(repair={"reboot": 1}))

    assert "did you mean 'reboots'?" in run.message
    assert account.requests() == []


class TestUnderAFormula:
    @pytest.fixture
    def scaled(self, account):
        """Return an account with a pool of two nodes under a formula."""
        account.idle_pool(2)
        formula = {"autoScaleFormula": "$TargetDedicatedNodes = 2;"}
        account.hook.run(lambda client: client.enable_autoscale("etl", formula))
        eventually(lambda: account.hook.find_pool("etl").allocation_state == "steady")
        return account

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_an_unusable_node_is_reported_and_neither_it_nor_the_formula_is_touched(self, scaled, deferrable):
        lost = scaled.put_node("unusable")

        run = run_to_end(
            sensor(repair={"replace_unusable": True, "unusable_grace": SOON}, deferrable=deferrable)
        )

        assert isinstance(run.error, PoolNotReadyError)
        assert (
            f"Unusable nodes {lost!r} are not replaced, because an autoscale formula decides" in run.message
        )
        assert asked(scaled, "/removenodes") == asked(scaled, "/disableautoscale") == 0
        assert scaled.hook.find_pool("etl").autoscale

    def test_an_unusable_node_is_left_to_the_service_for_a_while(self, scaled):
        scaled.put_node("unusable")

        assert not sensor(repair={"replace_unusable": True}).poke({}).is_done

    def test_a_pool_that_is_given_up_keeps_its_size(self, scaled):
        for node in scaled.nodes():
            scaled.control.set_node("etl", node.node_id, "starttaskfailed")
        repair = {"reboots": 9, "max_repairs": 1, "when_exhausted": "resize_to_zero"}

        run = run_to_end(sensor(repair=repair))

        assert "It keeps its nodes, because an autoscale formula decides" in run.message
        assert targets(scaled) == (2, 0)
