"""Many commands as one job, and functions on nodes: what they take beyond the work itself."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import DAG, BaseOperator

from airflow_provider_batchlinux.client.api.batch import open_client
from airflow_provider_batchlinux.client.pools.readiness import NodesIdleWait
from airflow_provider_batchlinux.client.storage.access import StorageAccess
from airflow_provider_batchlinux.client.tasks.many import ManySubmission, submit_job
from airflow_provider_batchlinux.client.waits.loop import WaitSchedule, wait_for
from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy
from airflow_provider_batchlinux.core.tasks.spec.job import Command, JobSpec
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec
from airflow_provider_batchlinux.decorators.batch_linux import batch_linux_task
from airflow_provider_batchlinux.hooks._storage_connection import storage_settings
from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from tests.airflow_harness import run_task
from tests.bench.result import Limit, Result
from tests.bench.waiters import Account, connected, create_pool
from tests.bench.waits import resident
from tests.embedded_service import embedded_service

__all__ = ["decorator_overhead", "fan_out_50", "job_10000", "submit_1000"]

POOL = "jobs"

FAN_OUT, FAN_OUT_NODES, FAN_OUT_SECONDS = 50, 5, 2
SUBMITTED, DELAY = 1000, 0.05
SINGLE = 100
"""Tasks that are added by a call each; the time of the others follows from theirs."""

LARGE_JOB, LARGE_POOL = 10_000, 100
ROUNDS = 5
SOON = 0.1
"""Seconds between two polls where the end of a command is to be noticed soon."""


def fan_out_50() -> Result:
    """Measure 50 commands of 2 s on 5 nodes by the operator, over the time that the nodes need for them."""
    with _pool_of(FAN_OUT_NODES):
        command = f"sleep {FAN_OUT_SECONDS}"
        seconds, found = _timed(
            BatchLinuxJobOperator(
                task_id="fan_out", pool_id=POOL, command=f"{command} # {{item}}", items=list(range(FAN_OUT))
            )
        )
    assert found["succeeded"] == FAN_OUT
    needed = FAN_OUT * FAN_OUT_SECONDS / FAN_OUT_NODES
    ratio = seconds / needed
    limit = Limit("times what the nodes need,", ratio, at_most=1.25)
    remark = "without the start and end of the process of the Airflow task"
    return Result(seconds, "s", needed, needed / seconds, remark, (limit,))


def submit_1000() -> Result:
    """Measure the submission of 1,000 tasks to a slow service, against a call for each."""
    with embedded_service() as account:
        asyncio.run(create_pool(account.settings, POOL, 0))
        account.control.inject(times=None, delay=DELAY)
        ours, theirs = asyncio.run(_submit(account)), asyncio.run(_submit_singly(account))
    limit = Limit("times faster than a call a task", theirs / ours, at_least=30)
    return Result(ours, "s", theirs, theirs / ours, limits=(limit,))


def job_10000() -> Result:
    """Run 10,000 instant commands on 100 nodes, and measure the memory of the process that waits for them."""
    with _pool_of(LARGE_POOL) as account:
        account.control.clear_requests()
        idle, peak, is_over = resident(), [0.0], threading.Event()

        def watch() -> None:
            while not is_over.wait(SOON):
                peak[0] = max(peak[0], resident())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            seconds, found = _timed(
                BatchLinuxJobOperator(
                    task_id="large", pool_id=POOL, command="true # {item}", items=list(range(LARGE_JOB))
                )
            )
        finally:
            is_over.set()
            watcher.join()
        requests = len(account.control.requests())
    assert found["succeeded"] == LARGE_JOB
    more = (peak[0] - idle) / 1024
    limit = Limit("MB more than idle", more, at_most=100)
    return Result(seconds, "s", None, None, f"{requests} requests", (limit,))


def decorator_overhead() -> Result:
    """Measure an instant function by the decorator, against an instant command by the task operator."""

    def nothing() -> None:
        """Return immediately."""

    options: dict[str, Any] = {"pool_id": POOL, "poll_interval": SOON}
    functions, commands = [], []
    with _pool_of(1):
        for number in range(ROUNDS):
            with DAG(f"round_{number}", schedule=None):
                function: Any = batch_linux_task(**options)(nothing)
                functions.append(_timed(function().operator)[0])
            command = BatchLinuxTaskOperator(task_id="nothing", command="python3 -c pass", **options)
            commands.append(_timed(command)[0])
    ours, theirs = statistics.median(functions), statistics.median(commands)
    limit = Limit("s more than the command", ours - theirs, at_most=1)
    return Result(ours, "s, median", theirs, theirs / ours, limits=(limit,))


def _timed(operator: BaseOperator) -> tuple[float, Any]:
    """Run a task as a worker does; return the seconds that it took, and its result."""
    began = time.monotonic()
    done = run_task(operator)
    assert done.state == "success", done.error
    return time.monotonic() - began, done.result


@contextmanager
def _pool_of(nodes: int) -> Iterator[Account]:
    """Serve with a pool of idle nodes with one slot each."""
    with embedded_service() as account:

        async def scenario() -> None:
            await create_pool(account.settings, POOL, nodes)
            async with open_client(account.settings) as client:
                wait = NodesIdleWait(client, POOL, ReadinessPolicy())
                await wait_for(wait, WaitSchedule(SOON, time.time() + 60))

        asyncio.run(scenario())
        with connected(account):
            yield account


async def _submit(account: Account) -> float:
    commands = {f"{index:05}": Command(TaskSpec(command="true")) for index in range(SUBMITTED)}
    submission = ManySubmission(
        spec=JobSpec(POOL, commands),
        id_stem="af-many-t",
        try_number=1,
        token="many",
        owner={},
        storage=StorageAccess(storage_settings),
    )
    async with open_client(account.settings) as client:
        began = time.monotonic()
        found = await submit_job(client, submission, lambda _job_id: None)
        assert found.total == SUBMITTED
        return time.monotonic() - began


async def _submit_singly(account: Account) -> float:
    async with open_client(account.settings) as client:
        await client.create_job({"id": "singly", "poolInfo": {"poolId": POOL}})
        began = time.monotonic()
        for index in range(SINGLE):
            await client.create_task("singly", {"id": f"{index:05}", "commandLine": "true"})
        return (time.monotonic() - began) * SUBMITTED / SINGLE
