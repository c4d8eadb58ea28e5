"""Many commands as one job, and functions on nodes: what they take beyond the work itself."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from airflow.sdk import DAG, BaseOperator, Context

from airflow_provider_batchlinux.client.api.batch import open_client
from airflow_provider_batchlinux.client.pools.readiness import NodesIdleWait
from airflow_provider_batchlinux.client.storage.access import StorageAccess
from airflow_provider_batchlinux.client.tasks.many import ManySubmission, submit_job
from airflow_provider_batchlinux.client.waits.loop import WaitSchedule, wait_for
from airflow_provider_batchlinux.core.functions.call import COMMAND, RESULT_FILE
from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy
from airflow_provider_batchlinux.core.tasks.job import Tries
from airflow_provider_batchlinux.core.tasks.spec.job import Command, JobSpec
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec
from airflow_provider_batchlinux.core.tasks.task import TASK_FIELDS, TaskSnapshot
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
"""Tasks that are added by a call each, for the baseline: each call takes as long as any other."""

LARGE_JOB, LARGE_POOL = 10_000, 100
ROUNDS = 5
SOON = 0.1
"""Seconds between two polls where the end of a command is to be noticed soon."""


@dataclass
class _Times:
    began: float = 0.0
    ended: float = 0.0


class _TimedJobOperator(BatchLinuxJobOperator):
    """Note when the work of the operator begins and ends, without Airflow's own start and end of the task."""

    times: ClassVar[_Times] = _Times()

    def execute(self, context: Context) -> Any:
        """Run the commands."""
        self.times.began = time.time()
        try:
            return super().execute(context)
        finally:
            self.times.ended = time.time()


def fan_out_50() -> Result:
    """Measure 50 commands of 2 s on 5 nodes by the operator, over the time that the nodes need for them."""
    with _pool_of(FAN_OUT_NODES) as account:
        operator = _TimedJobOperator(
            task_id="fan_out",
            pool_id=POOL,
            command=f"sleep {FAN_OUT_SECONDS}; : {{item}}",
            items=list(range(FAN_OUT)),
            # The times of the commands are read from it.
            delete_job="never",
        )
        whole, found = _timed(operator)
        starts, ends = asyncio.run(_times_of(account, found["job_id"]))
    assert found["succeeded"] == len(ends) == FAN_OUT
    needed = FAN_OUT * FAN_OUT_SECONDS / FAN_OUT_NODES
    times = operator.times
    seconds = times.ended - times.began
    parts = {
        "s to the first start": min(starts) - times.began,
        "s on the nodes": max(ends) - min(starts),
        "s from the last end": times.ended - max(ends),
        "s Airflow's own start and end": whole - seconds,
    }
    limit = Limit("times what the nodes need,", seconds / needed, at_most=1.25)
    remark = ", ".join(f"{value:.2f} {name}" for name, value in parts.items())
    return Result(seconds, "s", needed, needed / seconds, remark, (limit,))


def submit_1000() -> Result:
    """Measure the submission of 1,000 tasks to a slow service, against a call for each."""
    with embedded_service() as account:
        asyncio.run(create_pool(account.settings, POOL, 0))
        account.control.inject(times=None, delay=DELAY)
        ours, theirs = asyncio.run(_submit(account)), asyncio.run(_submit_singly(account))
    limit = Limit("times faster than a call a task", theirs / ours, at_least=30)
    remark = f"the baseline is extrapolated from {SINGLE} calls"
    return Result(ours, "s", theirs, theirs / ours, remark, limits=(limit,))


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
                    task_id="large", pool_id=POOL, command="true {item}", items=list(range(LARGE_JOB))
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
    """
    Measure an instant function by the decorator, against commands by the task operator.

    They are the same command with the same files, and an instant one that needs no files.
    """

    def nothing() -> None:
        """Return immediately."""

    options: dict[str, Any] = {"pool_id": POOL, "poll_interval": SOON}
    seconds: dict[str, list[float]] = {"function": [], "same": [], "instant": []}
    with _pool_of(1), TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            with DAG(f"round_{number}", schedule=None):
                function: Any = batch_linux_task(**options)(nothing)
                operator = function().operator
            for name, content in operator.contents().items():
                Path(folder, name).write_bytes(content)
            files = {name: str(Path(folder, name)) for name in operator.contents()}
            runs = {
                "function": operator,
                "same": BatchLinuxTaskOperator(
                    task_id="same", command=COMMAND, files=files, result_file=RESULT_FILE, **options
                ),
                "instant": BatchLinuxTaskOperator(task_id="instant", command="python3 -c pass", **options),
            }
            for name, run in runs.items():
                seconds[name].append(_timed(run)[0])
    ours, same, instant = (statistics.median(found) for found in seconds.values())
    limits = (
        Limit("s more than the same command", ours - same, at_most=1),
        Limit(f"s more than python3 -c pass ({instant:.2f} s)", ours - instant, at_most=1),
    )
    return Result(ours, "s, median", same, same / ours, limits=limits)


async def _times_of(account: Account, job_id: str) -> tuple[list[float], list[float]]:
    """Return when the commands of a job began, and when they ended, by the clock of the service."""
    async with open_client(account.settings) as client:
        tasks = await client.read_tasks(job_id, TaskSnapshot.from_rest, select=TASK_FIELDS)
    starts = [task.started_at.timestamp() for task in tasks if task.started_at is not None]
    return starts, [task.ended_at.timestamp() for task in tasks if task.ended_at is not None]


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
        tries=Tries("af-many-t", 1),
        token="many",
        owner={},
        storage=StorageAccess(storage_settings),
    )
    async with open_client(account.settings) as client:
        began = time.monotonic()
        found = await submit_job(client, submission)
        assert found.total == SUBMITTED
        return time.monotonic() - began


async def _submit_singly(account: Account) -> float:
    async with open_client(account.settings) as client:
        await client.create_job({"id": "singly", "poolInfo": {"poolId": POOL}})
        began = time.monotonic()
        for index in range(SINGLE):
            await client.create_task("singly", {"id": f"{index:05}", "commandLine": "true"})
        return (time.monotonic() - began) * SUBMITTED / SINGLE
