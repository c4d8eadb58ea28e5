"""A whole small Dag against a service where things go wrong by chance, as often as they do by default."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.emulator import EmulatorOptions, run_emulator
from airflow_provider_batchlinux.exceptions import BatchLinuxError
from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.operators.node_users import BatchLinuxAddNodeUsersOperator
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import run_task
from tests.batch_account import BatchAccount, eventually
from tests.conftest import set_connection
from tests.faults import ScenarioClock

PACE: dict[str, Any] = {"poll_interval": 0.05}
TRIES = 3
"""What a Dag does with ``retries=2``."""

CLEARED = 3
"""How often a Dag that has failed is cleared."""

ITEMS = ["1", "2", "3", "4", "5"]


def scenario(lines: Path) -> Iterator[BaseOperator]:
    """Give the tasks of a Dag, in their order; each command adds a line to a file."""
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
    yield BatchLinuxTaskOperator(task_id="work", pool_id="etl", command=f"echo work >> {lines}", **PACE)
    yield BatchLinuxJobOperator(
        task_id="many", pool_id="etl", command=f"echo {{item}} >> {lines}", items=ITEMS, **PACE
    )
    yield BatchLinuxDeletePoolOperator(task_id="delete", pool_id="etl", **PACE)


def succeeds(task: BaseOperator, lines: Path) -> bool:
    """
    Run a task with Airflow's retries, and assert that each failure names its cause.

    No command runs again whose success a try has read.
    """
    read: Counter[str] = Counter()
    for number in range(1, TRIES + 1):
        done = run_task(task, try_number=number)
        ran = Counter(lines.read_text().split()) if lines.exists() else Counter[str]()
        assert {item: ran[item] for item in read} == dict(read)
        if done.state == "success":
            return True
        assert isinstance(done.error, BatchLinuxError), done.error
        assert done.message
        records = (done.result or {}).get("records", ()) if isinstance(done.result, dict) else ()
        for record in records:
            if record["outcome"] == "succeeded":
                item = record["id"].rpartition("-")[2]
                read[item] = ran[item]
    return False


def run_dag_once(lines: Path) -> list[str]:
    """Run the Dag as Airflow does, its teardown also after a failure, and return what succeeded."""
    *work, teardown = scenario(lines)
    done = list(takewhile(lambda task: succeeds(task, lines), work))
    done += [task for task in [teardown] if succeeds(task, lines)]
    return [task.task_id for task in done]


def run_faulty_dag(seed: int, lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Run the Dag against a service whose faults follow from a seed.

    Assert that it ends with the right result or names the cause, that no command whose success was read runs
    again, and that nothing is left.
    """
    # Otherwise the waits between the tries of a request would take most of the time.
    ScenarioClock().rule_retries(monkeypatch)
    with run_emulator(EmulatorOptions(profile="faulty", seed=seed)) as emulator:
        set_connection(monkeypatch, emulator, retry_budget=300)
        # A pool that came short for want of quota stays so, as one of Azure's; the Dag is then cleared.
        for _ in range(CLEARED + 1):
            lines.unlink(missing_ok=True)
            done = run_dag_once(lines)
            if "many" in done:
                break
        assert done == ["create", "ready", "users", "work", "many", "delete"]
        assert sorted(set(lines.read_text().split())) == [*ITEMS, "work"]
        hook = BatchAccount(emulator).hook
        eventually(lambda: hook.run(_left) == [])


async def _left(client: BatchLinuxClient) -> list[Any]:
    """List the pools and jobs, with the retries that this service needs."""
    return [*await client.list_pools(["id"]), *await client.find_jobs(select=["id"])]
