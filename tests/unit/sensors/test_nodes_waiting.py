"""How the sensor waits: its log, its time-out, its modes, and what it leaves in Airflow's database."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import captured_log, run_task, run_to_end, run_trigger
from tests.conftest import set_connection
from tests.delays import NODE_BOOTED, NODE_CREATED, POOL_RESIZED


def sensor(**options: Any) -> BatchLinuxNodesIdleSensor:
    return BatchLinuxNodesIdleSensor(
        **{"task_id": "nodes", "pool_id": "etl", "poke_interval": 0.02, **options}
    )


def test_the_log_names_the_nodes_by_state_once_for_each_change(slow_account):
    slow_account.make_pool(dedicated=2)
    waiting = sensor()

    with captured_log() as log:
        for seconds in (0, POOL_RESIZED, 0, NODE_CREATED, 0, NODE_BOOTED, 0):
            slow_account.control.advance(seconds)
            waiting.poke({})

    progress = [line for line in log if line.startswith("Pool 'etl': 2 dedicated and 0 Spot nodes wanted")]
    states = [line.split("nodes: ")[1].split(";")[0] for line in progress]
    assert states == ["none yet", "2 creating", "2 starting", "2 idle"]


def test_the_result_names_the_pool_its_nodes_by_state_and_how_long_they_took(account):
    account.idle_pool(2)

    result = run_task(sensor()).result

    timeline = result.pop("timeline")
    assert result == {"pool_id": "etl", "nodes": {"idle": 2}, "allocation_state": "steady"}
    assert list(timeline) == ["to_steady", "to_first_idle", "to_ready", "node_hours"]
    assert 0 <= timeline["to_first_idle"] <= timeline["to_ready"] < 60


def test_a_poll_of_a_starting_pool_costs_two_requests(slow_account):
    slow_account.make_pool(dedicated=2)
    slow_account.control.clear_requests()

    sensor().poke({})

    assert slow_account.requests() == ["GET /pools/etl", "GET /nodecounts"]


def test_a_pool_is_called_ready_only_by_the_exact_list_of_its_nodes(account):
    account.idle_pool(1)
    account.control.clear_requests()

    sensor().poke({})

    assert account.requests()[-1] == "GET /pools/etl/nodes"


def test_the_deferred_sensor_says_what_it_saw_last_when_its_time_is_over(slow_account):
    slow_account.make_pool(dedicated=2)

    run = run_to_end(sensor(deferrable=True, timeout=0.05))

    assert type(run.error).__name__ == "AirflowSensorTimeout"
    assert run.message.startswith("Timed out after 0.05 s. Last status: Pool 'etl':")
    assert run.message.endswith("nodes: none yet; allocation resizing.")


def test_the_deadline_counts_from_the_start_of_the_task_and_airflows_is_later(slow_account):
    slow_account.make_pool(dedicated=2)
    earliest = time.time() + 600

    deferral = run_task(sensor(deferrable=True, timeout=600)).deferral

    assert deferral is not None
    assert earliest <= deferral.trigger_kwargs["deadline"] <= time.time() + 600
    assert deferral.timeout is not None
    assert timedelta(seconds=650) < deferral.timeout <= timedelta(seconds=660)


def test_nothing_secret_is_stored_with_the_trigger(slow_account):
    slow_account.make_pool(dedicated=2)

    run = run_task(sensor(deferrable=True))

    assert run.state == "deferred"
    assert slow_account.service.key not in run.everything_said


@pytest.mark.parametrize(
    ("options", "state"),
    [
        pytest.param({"mode": "reschedule", "timeout": 60}, "up_for_reschedule", id="reschedule"),
        pytest.param({"soft_fail": True, "timeout": 0.05}, "skipped", id="soft fail"),
        pytest.param(
            {"soft_fail": True, "timeout": 0.05, "deferrable": True}, "skipped", id="soft fail, deferred"
        ),
    ],
)
def test_the_modes_of_airflows_own_sensors_hold(slow_account, options, state):
    slow_account.make_pool(dedicated=2)

    assert run_to_end(sensor(**options)).state == state


def test_an_event_of_another_release_asks_to_update_both_sides(slow_account):
    slow_account.make_pool(dedicated=2)
    run = run_task(sensor(deferrable=True, timeout=0.05))
    assert run.deferral is not None
    event = run_trigger(run.deferral)

    with pytest.raises(ValueError, match=r"triggerer and worker\s+run different releases"):
        sensor().execute_complete({}, {**event, "version": 99})


def test_an_illegal_pool_id_is_refused_before_any_request(account):
    run = run_task(sensor(pool_id="no spaces, please"))

    assert "contains characters other than" in run.message
    assert account.requests() == []


def test_a_service_that_is_busy_for_a_moment_does_not_end_the_wait(account, monkeypatch):
    account.idle_pool(1)
    set_connection(monkeypatch, account.service, retry_budget=10)
    account.control.inject("GET", "/nodecounts", status=503, code="ServerBusy")

    assert run_to_end(sensor()).state == "success"


def test_a_service_that_stays_away_fails_with_a_sentence(account):
    account.idle_pool(1)
    account.control.inject("GET", times=None, drop="before")

    run = run_to_end(sensor())

    assert run.state == "failed"
    assert "no answer from the service" in run.message
    assert "Check account_url, name resolution and the firewall." in run.message
