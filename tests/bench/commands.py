"""How soon the end of a command and ready nodes are noticed, and what thousands of deferred commands cost."""

from __future__ import annotations

import asyncio
import statistics
import time
from functools import cache

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient, open_client
from airflow_provider_batchlinux.client.storage.access import StorageAccess
from airflow_provider_batchlinux.client.tasks.jobs import Submission, submit_task
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.tasks.job import Tries
from airflow_provider_batchlinux.core.tasks.spec.job import Command, JobSpec
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec
from airflow_provider_batchlinux.core.tasks.task import TASK_ID
from airflow_provider_batchlinux.hooks._storage_connection import storage_settings
from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger
from airflow_provider_batchlinux.triggers.nodes import BatchLinuxNodesIdleTrigger
from airflow_provider_batchlinux.triggers.task import BatchLinuxTaskTrigger
from tests.bench.result import Limit, Result
from tests.bench.waiters import (
    CONN_ID,
    Account,
    connected,
    create_pool,
    make_pools,
    running_triggers,
)
from tests.bench.waits import BLOCK, INTERVAL, ROUNDS, WAITS, Steady, cpu, resident
from tests.embedded_service import embedded_service

__all__ = [
    "command_lag",
    "live_output_requests",
    "ready_lag",
    "task_waits_cpu",
    "task_waits_memory",
    "task_waits_requests",
]

POLL_INTERVAL, POKE_INTERVAL = 15.0, 30.0
"""The defaults of the operator and of the sensor."""

COMMANDS, COMMAND_TIME = 20, 2
OUTPUT_TIME, LINES_A_SECOND = 60, 10
POOL = "pool-0000"


def command_lag() -> Result:
    """Measure the time from a command's end on its node to the event, for one command after the other."""
    with embedded_service() as account:
        _idle_pool(account)
        with connected(account):
            lags = [asyncio.run(_lag_of_command(account, f"lag-{number}")) for number in range(COMMANDS)]
    lag = statistics.median(lags)
    return Result(lag, "s, median", None, None, limits=(Limit("s, median,", lag, at_most=4),))


def ready_lag() -> Result:
    """Measure the time from the moment the last node becomes idle to the event, at Azure's speed."""
    with embedded_service(profile="realistic") as account:
        asyncio.run(create_pool(account.settings, POOL, 2))
        with connected(account):
            came = asyncio.run(_first_event(_ready_trigger()))
        lag = came - max(asyncio.run(_idle_since_all(account)))
    return Result(lag, "s", None, None, limits=(Limit("s", lag, at_most=6),))


def task_waits_requests() -> Result:
    """Count the requests of an interval."""
    value = _measured().requests
    return Result(value, "requests/interval", None, None, limits=(Limit("requests", value, at_most=3),))


def task_waits_cpu() -> Result:
    """Measure the share of a core that the waits take when they poll every 30 s."""
    value = 100 * _measured().cpu / INTERVAL
    return Result(value, "% of a core", None, None, limits=(Limit("% of a core", value, at_most=5),))


def task_waits_memory() -> Result:
    """Measure the memory of a wait, including what Airflow's triggerer keeps for each trigger."""
    value = _measured().memory
    return Result(value, "KB/wait", None, None, limits=(Limit("KB of a wait", value, at_most=20),))


def live_output_requests() -> Result:
    """Count the requests for the output of a command that prints all the time, for each poll of its state."""
    seconds, pause = OUTPUT_TIME, 1 / LINES_A_SECOND
    command = f"for i in $(seq {seconds * LINES_A_SECOND}); do echo line $i; sleep {pause}; done"
    with embedded_service() as account:
        _idle_pool(account)
        with connected(account):
            asyncio.run(_follow(account, command))
        paths = [request["path"] for request in account.control.requests()]
    output = sum("/files/" in path for path in paths)
    polls = sum(path.endswith(f"/tasks/{TASK_ID}") for path in paths)
    value = output / polls
    return Result(
        value, f"requests/poll, {polls} polls", None, None, limits=(Limit("a poll", value, at_most=1.2),)
    )


@cache
def _measured() -> Steady:
    with embedded_service() as account:
        asyncio.run(create_pool(account.settings, POOL, 0))
        jobs = asyncio.run(_jobs(account, WAITS))
        with connected(account):
            return asyncio.run(_steady(account, jobs))


async def _steady(account: Account, jobs: list[str]) -> Steady:
    # All have just become older than an interval: the worst case.
    since = time.time() - INTERVAL

    def make(index: int) -> BatchLinuxTrigger:
        return _trigger(jobs[index], since, INTERVAL)

    async with running_triggers(make, BLOCK):
        await asyncio.sleep(8)
        before = resident()
    async with running_triggers(make, WAITS) as events:
        await asyncio.sleep(8)
        account.control.clear_requests()
        began = cpu()
        await asyncio.sleep(ROUNDS * INTERVAL)
        spent = cpu() - began
        requests = len(account.control.requests())
        memory = (resident() - before) / WAITS
        assert not events.came
    return Steady(requests / ROUNDS, spent / ROUNDS, memory)


async def _lag_of_command(account: Account, name: str) -> float:
    async with open_client(account.settings) as client:
        job_id = await _submit(client, name, f"sleep {COMMAND_TIME}")
        came = await _first_event(_trigger(job_id, time.time(), POLL_INTERVAL))
        task = await client.find_task(job_id, TASK_ID)
    assert task is not None
    assert task.ended_at is not None
    return came - task.ended_at.timestamp()


async def _follow(account: Account, command: str) -> None:
    async with open_client(account.settings) as client:
        job_id = await _submit(client, "follow", command)
    account.control.clear_requests()
    await _first_event(_trigger(job_id, time.time(), POLL_INTERVAL))


async def _first_event(trigger: BatchLinuxTrigger) -> float:
    async with running_triggers(lambda _index: trigger, 1) as events:
        await events.arrived.wait()
        return events.came[0][1]


async def _jobs(account: Account, number: int) -> list[str]:
    """Submit commands that wait for a node for ever."""
    async with open_client(account.settings) as client:
        names = [f"job-{index:04}" for index in range(number)]
        return await fan_out(names, lambda name: _submit(client, name, "true"), max_concurrency=8)


async def _submit(client: BatchLinuxClient, name: str, command: str) -> str:
    spec = JobSpec(POOL, {TASK_ID: Command(TaskSpec(command=command))})
    storage = StorageAccess(storage_settings)
    submission = Submission(spec=spec, tries=Tries(f"af-{name}-t", 1), token=name, owner={}, storage=storage)
    return await submit_task(client, submission)


def _trigger(job_id: str, submitted_at: float, interval: float) -> BatchLinuxTaskTrigger:
    return BatchLinuxTaskTrigger(
        pool_id=POOL,
        job_id=job_id,
        submitted_at=submitted_at,
        output_limit=256 * 1024,
        batch_linux_conn_id=CONN_ID,
        poll_interval=interval,
    )


def _ready_trigger() -> BatchLinuxNodesIdleTrigger:
    return BatchLinuxNodesIdleTrigger(pool_id=POOL, batch_linux_conn_id=CONN_ID, poll_interval=POKE_INTERVAL)


def _idle_pool(account: Account) -> None:
    [name] = make_pools(account, 1)
    assert name == POOL
    [node] = asyncio.run(_node_ids(account))
    account.control.set_node(POOL, node, "idle")


async def _node_ids(account: Account) -> list[str]:
    async with open_client(account.settings) as client:
        return [node.node_id for node in await client.list_nodes(POOL)]


async def _idle_since_all(account: Account) -> list[float]:
    async with open_client(account.settings) as client:
        nodes = await client.list_nodes(POOL)
    return [node.state_since.timestamp() for node in nodes if node.state_since is not None]
