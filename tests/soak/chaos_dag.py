"""A whole small Dag through a proxy that lets requests fail by chance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_batchlinux.client.transport import session
from airflow_provider_batchlinux.emulator import airflow_connection
from airflow_provider_batchlinux.exceptions import BatchLinuxError
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import ExecutionApi, TaskRun, resume_task, run_task, run_trigger
from tests.batch_account import BatchAccount, eventually
from tests.chaos import ChaosProxy, Dice, chaos_proxy
from tests.faults import ScenarioClock

RETRIES = 2
BUDGET = 300
READ_TIMEOUT = 1.0
"""Seconds until a client gives up an answer that stalls."""


@dataclass(frozen=True)
class ChaosDag:
    """
    A pool is created and waited for, runs a command with a result, and is deleted.

    :param deferrable: whether its tasks wait on the triggerer.
    :param runs: a file to which the command adds a line.
    """

    account: BatchAccount
    proxy: ChaosProxy
    deferrable: bool
    runs: Path

    def run(self) -> None:
        """Run the Dag with Airflow's retries, and assert that nothing is lost, left or done twice."""
        for task in self._tasks():
            run = self._succeed(task)
            if task.task_id == "work":
                assert run.result["result"] == {"rows": 7}
        assert self.runs.read_text() == "run\n"
        eventually(lambda: self.account.pools() == [])
        assert self.account.jobs() == []

    def _tasks(self) -> Iterator[BaseOperator]:
        options: dict[str, Any] = {
            "pool_id": "etl",
            "deferrable": self.deferrable,
            "batch_linux_conn_id": "chaos",
        }
        pace: dict[str, Any] = {**options, "poll_interval": 0.02}
        yield BatchLinuxCreatePoolOperator(
            task_id="create",
            image="ubuntu 24.04",
            vm_size="standard_d2s_v5",
            dedicated_nodes=2,
            start_task="true",
            **options,
        )
        yield BatchLinuxNodesIdleSensor(task_id="ready", poke_interval=0.02, **options)
        command = f"""echo run >> {self.runs}; echo said; echo '{{"rows": 7}}' > 'dt=1.json'"""
        yield BatchLinuxTaskOperator(task_id="work", command=command, result_file="dt=1.json", **pace)
        yield BatchLinuxDeletePoolOperator(task_id="delete", **pace)

    def _succeed(self, task: BaseOperator) -> TaskRun:
        for number in range(1, RETRIES + 2):
            run = self._try(task, number)
            assert "Traceback" not in run.log
            if run.state == "success":
                return run
            assert isinstance(run.error, BatchLinuxError), self.proxy.happened
        pytest.fail(f"{task.task_id} failed: {run.error}, {self.proxy.happened}")

    def _try(self, task: BaseOperator, number: int) -> TaskRun:
        run = run_task(task, try_number=number, api=ExecutionApi(resume={"max_tries": RETRIES}))
        while run.deferral is not None:
            event = run_trigger(run.deferral)
            run = resume_task(task, run, event, try_number=number, max_tries=RETRIES)
        return run


@contextmanager
def chaos_dag(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch, folder: Path, seed: int
) -> Iterator[ChaosDag]:
    """Put a proxy before the service that lets 12 % of the requests fail, and give the Dag behind it."""
    service = account.service
    with chaos_proxy(service.endpoint, Dice(seed)) as proxy, monkeypatch.context() as patch:
        connection = airflow_connection(proxy.url, service.account, service.key, None, retry_budget=BUDGET)
        patch.setenv("AIRFLOW_CONN_CHAOS", connection)
        patch.setattr(session, "READ_TIMEOUT", READ_TIMEOUT)
        ScenarioClock().rule_retries(patch)
        yield ChaosDag(account, proxy, seed % 2 == 1, folder / "runs")
