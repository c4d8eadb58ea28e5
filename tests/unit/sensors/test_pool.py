"""The sensors that wait for a pool to be steady, and to be gone: each case in every way of waiting."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.exceptions import PoolNotReadyError
from airflow_provider_batchlinux.sensors.pool import BatchLinuxPoolGoneSensor, BatchLinuxPoolSteadySensor
from tests.airflow_harness import run_task, run_to_end
from tests.batch_account import BatchAccount

WAYS = pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="poke"),
        pytest.param({"mode": "reschedule"}, id="reschedule"),
        pytest.param({"deferrable": True}, id="deferrable"),
    ],
)


def steady(**options: Any) -> BatchLinuxPoolSteadySensor:
    return BatchLinuxPoolSteadySensor(
        task_id="steady", **{"pool_id": "etl", "poke_interval": 0.02, **options}
    )


def gone(**options: Any) -> BatchLinuxPoolGoneSensor:
    return BatchLinuxPoolGoneSensor(task_id="gone", **{"pool_id": "etl", "poke_interval": 0.02, **options})


@WAYS
def test_a_steady_pool_ends_the_wait_with_its_numbers(account: BatchAccount, options: Any) -> None:
    account.idle_pool(2)

    run = run_to_end(steady(**options))

    assert run.result["dedicated"] == {"current": 2, "target": 2}


@WAYS
@pytest.mark.usefixtures("account")
def test_a_pool_that_is_not_there_never_becomes_steady(options: Any) -> None:
    run = run_to_end(steady(**options))

    assert isinstance(run.error, PoolNotReadyError)


@WAYS
@pytest.mark.usefixtures("account")
def test_a_pool_that_is_not_there_is_gone(options: Any) -> None:
    assert run_to_end(gone(**options)).result == {"pool_id": "etl"}


def test_a_resize_keeps_the_sensor_waiting(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=1)

    run = run_task(steady(deferrable=True))

    assert run.state == "deferred"
    assert "Pool 'etl' is resizing: 0 of 1 nodes" in run.log


def test_an_existing_pool_keeps_the_sensor_waiting(slow_account: BatchAccount) -> None:
    slow_account.make_pool()

    assert run_task(gone(deferrable=True)).state == "deferred"
