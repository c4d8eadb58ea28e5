"""A whole small Dag against a service where things go wrong by chance, as often as they do by default."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_batchlinux.emulator import EmulatorOptions, run_emulator
from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.operators.node_users import BatchLinuxAddNodeUsersOperator
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import run_task
from tests.batch_account import BatchAccount
from tests.conftest import set_connection

PACE: dict[str, Any] = {"poll_interval": 0.05}
TRIES = 3
"""What a Dag does with ``retries=2``."""


@pytest.fixture
def faulty_account(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchAccount]:
    """Give an account of a service whose chance follows from the seed that the test asks for."""
    with run_emulator(EmulatorOptions(profile="faulty", seed=request.param)) as emulator:
        set_connection(monkeypatch, emulator, retry_budget=30)
        yield BatchAccount(emulator)


ITEMS = ["1", "2", "3", "4", "5"]


def scenario(lines: Path) -> Iterator[BaseOperator]:
    """Give the tasks of a Dag, in their order; each of many commands adds its item to a file."""
    yield BatchLinuxCreatePoolOperator(
        task_id="create",
        pool_id="etl",
        image="ubuntu 24.04",
        vm_size="standard_d2s_v5",
        dedicated_nodes=1,
        spot_nodes=1,
        ssh_from=["203.0.113.0/24"],
        start_task="true",
    )
    yield BatchLinuxNodesIdleSensor(task_id="ready", pool_id="etl", poke_interval=0.05, deferrable=False)
    yield BatchLinuxAddNodeUsersOperator(
        task_id="users", pool_id="etl", username="etl", password="Secret-1", expires_in=timedelta(hours=1)
    )
    yield BatchLinuxTaskOperator(task_id="work", pool_id="etl", command="echo done", **PACE)
    yield BatchLinuxJobOperator(
        task_id="many", pool_id="etl", command=f"echo {{item}} >> {lines}", items=ITEMS, **PACE
    )
    yield BatchLinuxDeletePoolOperator(task_id="delete", pool_id="etl", **PACE)


def succeeds(task: BaseOperator) -> bool:
    """Run a task with Airflow's retries."""
    return any(run_task(task, try_number=number).state == "success" for number in range(1, TRIES + 1))


def run_scenario(lines: Path) -> list[str]:
    """Run the Dag as Airflow does, its teardown also after a failure, and return what succeeded."""
    *work, teardown = scenario(lines)
    done = [*takewhile(succeeds, work), *filter(succeeds, [teardown])]
    return [task.task_id for task in done]


@pytest.mark.parametrize("faulty_account", [1, 9, 10, 11], indirect=True, ids="seed {}".format)
def test_a_small_dag_survives_what_goes_wrong_by_default(faulty_account, tmp_path):
    lines = tmp_path / "lines"
    # A pool that came short for want of quota stays so, as one of Azure's; the Dag is then cleared once.
    done = run_scenario(lines)
    if "many" not in done:
        done = run_scenario(lines)

    assert done == ["create", "ready", "users", "work", "many", "delete"]
    assert set(lines.read_text().split()) == set(ITEMS)
    assert (faulty_account.pools(), faulty_account.jobs()) == ([], [])
