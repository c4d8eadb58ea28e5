"""Broken nodes of a pool under a formula, which is off while they are replaced, and comes back."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from airflow_provider_batchlinux.client.pools.restore_autoscale import restore_autoscale
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.exceptions import PoolNotReadyError
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import run_to_end
from tests.batch_account import NODE_AGENT, UBUNTU, BatchAccount, eventually

FORMULA = "$TargetDedicatedNodes = 2;"
MARK = "airflow_batchlinux_repair_autoscale"


def sensor(**options: Any) -> BatchLinuxNodesIdleSensor:
    repair = {"replace_unusable": True, "unusable_grace": 0.001}
    given = {"task_id": "nodes", "pool_id": "etl", "poke_interval": 0.02, "timeout": 30, "repair": repair}
    return BatchLinuxNodesIdleSensor(**{**given, **options})


def asked(account: BatchAccount, what: str) -> int:
    return sum(request.startswith("POST") and request.endswith(what) for request in account.requests())


def pool_body(account: BatchAccount) -> dict[str, Any]:
    body = account.hook.run(lambda client: client.find_pool_body("etl"))
    assert body is not None
    return dict(body)


@pytest.fixture
def scaled(account):
    """Give a pool of two nodes under a formula, of which one is unusable."""
    machine = {"imageReference": UBUNTU, "nodeAgentSKUId": NODE_AGENT}
    formula = {"enableAutoScale": True, "autoScaleFormula": FORMULA}
    body = {"id": "etl", "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": machine, **formula}
    account.hook.run(lambda client: client.create_pool(body))
    account.wait_for_nodes({"idle": 2})
    account.put_node("unusable")
    return account


def assert_formula_is_back(account):
    body = pool_body(account)
    assert (body["enableAutoScale"], body["autoScaleFormula"]) == (True, FORMULA)
    assert MARK not in metadata_of(body)


def test_under_autoscale_the_formula_is_off_meanwhile_and_on_again_at_the_end(account):
    account.idle_pool(2)
    formula = {"autoScaleFormula": FORMULA, "autoScaleEvaluationInterval": "PT5M"}
    account.hook.run(lambda client: client.enable_autoscale("etl", formula))
    eventually(lambda: account.hook.find_pool("etl").allocation_state == "steady")
    lost = account.put_node("unusable")
    account.control.clear_requests()
    waiting = sensor()

    waiting.poke({})
    mark = metadata_of(pool_body(account))[MARK]
    eventually(lambda: waiting.poke({}).is_done or asked(account, "/enableautoscale"))

    assert json.loads(mark)["autoScaleFormula"] == FORMULA
    assert lost not in [node.node_id for node in account.nodes()]
    steps = ("/disableautoscale", "/removenodes", "/enableautoscale")
    done = [step for request in account.requests() for step in steps if request.endswith(step)]
    assert list(dict.fromkeys(done)) == list(steps)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_wait_that_fails_on_another_node_begins_no_repair(scaled, deferrable):
    scaled.control.set_node("etl", scaled.nodes()[1].node_id, "starttaskfailed")

    run = run_to_end(sensor(deferrable=deferrable))

    assert isinstance(run.error, PoolNotReadyError)
    assert asked(scaled, "/disableautoscale") == asked(scaled, "/removenodes") == 0


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_wait_that_fails_half_way_gives_the_formula_back(scaled, deferrable):
    sensor().poke({})
    assert asked(scaled, "/disableautoscale") == 1
    scaled.control.set_node("etl", scaled.nodes()[1].node_id, "starttaskfailed")

    run = run_to_end(sensor(deferrable=deferrable))

    assert isinstance(run.error, PoolNotReadyError)
    assert_formula_is_back(scaled)


def test_a_wait_whose_time_is_over_gives_the_formula_back(scaled):
    scaled.control.inject(path="/removenodes", times=None, status=409, code="OperationInvalidForCurrentState")
    waiting = sensor(timeout=0.5)

    run = run_to_end(waiting)

    assert type(run.error).__name__ == "AirflowSensorTimeout"
    assert asked(scaled, "/disableautoscale") == 1
    assert_formula_is_back(scaled)


def test_a_wait_that_is_killed_on_its_worker_gives_the_formula_back(scaled):
    waiting = sensor()
    waiting.poke({})
    assert asked(scaled, "/disableautoscale") == 1

    waiting.on_kill()

    assert_formula_is_back(scaled)


def test_a_wait_that_is_killed_on_the_triggerer_gives_the_formula_back(scaled):
    waiting = sensor()
    waiting.poke({})

    asyncio.run(waiting.trigger(time.time() + 30).on_kill())

    assert_formula_is_back(scaled)


def test_a_kill_touches_nothing_where_nothing_is_repaired(scaled):
    scaled.control.clear_requests()
    waiting = sensor(repair=None)

    waiting.on_kill()
    asyncio.run(waiting.trigger(time.time() + 30).on_kill())

    assert scaled.requests() == []


def test_a_formula_that_the_service_does_not_take_back_now_is_left_to_the_next_repair(scaled):
    waiting = sensor()
    waiting.poke({})
    scaled.control.inject(path="/enableautoscale", times=None, status=409, code="PoolBeingResized")

    waiting.on_kill()

    assert MARK in metadata_of(pool_body(scaled))


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_pool_that_is_given_up_is_resized_to_no_nodes_though_a_formula_holds_them(scaled, deferrable):
    repair = {
        "replace_unusable": True,
        "unusable_grace": 0.001,
        "max_repairs": 1,
        "when_exhausted": "resize_to_zero",
    }
    scaled.control.set_node("etl", scaled.nodes()[1].node_id, "unusable")

    run = run_to_end(sensor(repair=repair, deferrable=deferrable))

    assert isinstance(run.error, PoolNotReadyError)
    assert "It is resized to no nodes." in run.message
    pool = scaled.hook.find_pool("etl")
    assert (pool.autoscale, pool.target) == (False, 0)
    assert MARK not in metadata_of(pool_body(scaled))


def remove_half_way(scaled: BatchAccount) -> None:
    """Let a repair come as far as the removal, which goes on."""
    sensor().poke({})
    eventually(lambda: not sensor().poke({}).is_done and asked(scaled, "/removenodes"))


@pytest.mark.parametrize("end", ["kill", "failure", "time-out"])
def test_a_wait_that_ends_while_the_removal_goes_on_gives_the_formula_back(scaled, end):
    scaled.control.inject(path="/enableautoscale", times=1, status=409, code="PoolBeingResized")
    remove_half_way(scaled)

    if end == "kill":
        sensor().on_kill()
    elif end == "failure":
        scaled.control.set_node("etl", scaled.nodes()[0].node_id, "starttaskfailed")
        run_to_end(sensor())
    else:
        scaled.control.set_node("etl", scaled.nodes()[0].node_id, "offline")
        run_to_end(sensor(timeout=0.1))

    eventually(lambda: pool_body(scaled)["enableAutoScale"])
    assert_formula_is_back(scaled)


def test_a_pool_that_somebody_has_resized_since_keeps_its_size_and_no_formula(scaled):
    scaled.control.inject(path="/enableautoscale", times=None, status=409, code="PoolBeingResized")
    remove_half_way(scaled)
    eventually(lambda: scaled.hook.find_pool("etl").allocation_state == "steady")
    body = {"targetDedicatedNodes": 5, "targetLowPriorityNodes": 0}
    scaled.hook.run(lambda client: client.resize_pool("etl", body))

    assert scaled.hook.run(lambda client: restore_autoscale(client, "etl")) is False

    assert MARK not in metadata_of(pool_body(scaled))
    assert pool_body(scaled)["targetDedicatedNodes"] == 5


def test_a_resize_to_nothing_that_is_refused_is_tried_again(scaled):
    repair = {
        "replace_unusable": True,
        "unusable_grace": 0.001,
        "max_repairs": 1,
        "when_exhausted": "resize_to_zero",
    }
    scaled.control.set_node("etl", scaled.nodes()[1].node_id, "unusable")
    scaled.control.inject("POST", "/resize$", times=2, status=409, code="PoolBeingResized")

    run = run_to_end(sensor(repair=repair))

    assert "It is resized to no nodes." in run.message
    assert scaled.hook.find_pool("etl").target == 0
