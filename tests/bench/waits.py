"""The cost of thousands of deferred waits on one account, for the service and for the triggerer."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from airflow_provider_batchlinux.client.api.batch import open_client
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from tests.bench.result import Limit, Result
from tests.bench.waiters import Account, ask_for_pools, connected, idle_since, make_pools, running
from tests.embedded_service import embedded_service

__all__ = ["cpu", "resident", "waits_cpu", "waits_lag", "waits_memory", "waits_requests"]

WAITS, POOLS = 2000, 200
FEW_WAITS = 200
INTERVAL = 30.0
"""Seconds between two polls; the default of many sensors."""

ROUNDS, FEW_ROUNDS = 3, 2
"""Measured intervals; in every second one, each wait polls although nothing has changed."""

LAG_INTERVAL = 3.0
LAG_SPEED = 40
"""Times Azure's speed: a node is idle about a second after its machine is allocated."""

WAVES = 3
"""Machines become available in this number of waves, so that in between no remaining pool has a node."""

BLOCK = 50


@dataclass(frozen=True)
class Steady:
    """
    The cost of waits while nothing changes.

    :param requests: of one interval.
    :param cpu: seconds of one interval.
    :param memory: kilobytes of one wait.
    """

    requests: float
    cpu: float
    memory: float


def waits_requests() -> Result:
    """Count the requests of an interval, against the loop of Airflow's own hook in the same run."""
    ours, theirs = _measured().requests, _baseline_requests()
    limits = (
        Limit("requests of an interval", ours, at_most=3),
        Limit("times fewer than the baseline", theirs / ours, at_least=100),
    )
    return Result(ours, "requests/interval", theirs, theirs / ours, limits=limits)


def waits_cpu() -> Result:
    """Measure the share of a core that the waits take when they poll every 30 s."""
    cost, few = _measured().cpu, _measured(FEW_WAITS, FEW_ROUNDS).cpu
    percent, few_percent = (100 * seconds / INTERVAL for seconds in (cost, few))
    wanted = f"about flat: {FEW_WAITS} waits take {few_percent:.2g} %"
    return Result(percent, "% of a core", None, None, wanted, (Limit("% of a core", percent, at_most=5),))


def waits_memory() -> Result:
    """Measure the memory of a wait, including what Airflow's triggerer keeps for each trigger."""
    memory = _measured().memory
    return Result(memory, "KB/wait", None, None, limits=(Limit("KB of a wait", memory, at_most=20),))


def waits_lag() -> Result:
    """
    Measure the time from the moment a node becomes idle to the event, for all waits.

    The pools have no nodes at first. Right after a poll, machines become available for some of them, at
    random moments.
    """
    with embedded_service(profile="realistic", speed=LAG_SPEED) as account:
        account.control.set_capacity(dedicated=0)
        names = ask_for_pools(account, POOLS)
        with connected(account):
            lags = asyncio.run(_lags(account, names))
    late = sorted(lags)[int(len(lags) * 0.99)]
    limit = Limit(f"s, of an interval of {LAG_INTERVAL:g} and one,", late, at_most=LAG_INTERVAL + 1)
    return Result(late, "s at the 99th percentile", None, None, limits=(limit,))


@cache
def _measured(waits: int = WAITS, rounds: int = ROUNDS) -> Steady:
    with embedded_service() as account:
        names = make_pools(account, POOLS)
        with connected(account):
            return asyncio.run(_steady(account, names, waits, rounds))


async def _steady(account: Account, names: list[str], waits: int, rounds: int) -> Steady:
    async with running(names, BLOCK, INTERVAL):
        before = resident()
    async with running(names, waits, INTERVAL) as events:
        account.control.clear_requests()
        began = cpu()
        await asyncio.sleep(rounds * INTERVAL)
        spent = cpu() - began
        requests = len(account.control.requests())
        memory = (resident() - before) / waits
        assert not events.came
    return Steady(requests / rounds, spent / rounds, memory)


async def _lags(account: Account, names: list[str]) -> list[float]:
    async with running(names, WAITS, LAG_INTERVAL) as events:
        for wave in range(WAVES):
            await asyncio.to_thread(_await_poll, account)
            for machines in range(wave * POOLS // WAVES, (wave + 1) * POOLS // WAVES):
                await asyncio.to_thread(account.control.set_capacity, dedicated=machines + 1)
                await asyncio.sleep(random.uniform(0, 2 * LAG_INTERVAL * WAVES / POOLS))
            await asyncio.sleep(2 * LAG_INTERVAL)
        assert len(events.came) == WAITS, len(events.came)
    idle = await idle_since(account, names)
    return [came - idle[names[number % len(names)]].timestamp() for number, came in events.came]


def _await_poll(account: Account) -> None:
    """Wait until the pools are polled: a change right after that is noticed as late as possible."""
    account.control.clear_requests()
    while not account.control.requests():
        time.sleep(0.05)


def _baseline_requests() -> float:
    """
    Poll once for the same number of waits as ``AzureBatchHook.wait_for_all_node_state`` of Airflow 3.3 does.

    Each wait holds a worker, gets its pool, lists its nodes, and polls again after ten seconds.
    """
    with embedded_service() as account:
        names = make_pools(account, POOLS)
        account.control.clear_requests()
        asyncio.run(_poll_each(account, names))
        return float(len(account.control.requests()))


async def _poll_each(account: Account, names: list[str]) -> None:
    async with open_client(account.settings) as client:

        async def poll(number: int) -> None:
            name = names[number % len(names)]
            await client.sdk.get_pool(name)
            assert [node async for node in client.sdk.list_nodes(name)]

        await fan_out(range(WAITS), poll, max_concurrency=BLOCK)


def cpu() -> float:
    """Return the seconds of a core that this process has taken."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident() -> float:
    """Return the kilobytes of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024
