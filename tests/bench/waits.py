"""Thousands of deferred waits on one account: what they ask of the service and of the triggerer."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from airflow_provider_batchlinux.client.batch import open_client
from airflow_provider_batchlinux.client.fan_out import fan_out
from tests.bench.result import Result
from tests.bench.waiters import Account, connected, make_pools, node_ids, running
from tests.embedded_service import embedded_service

__all__ = ["waits_cpu", "waits_lag", "waits_memory", "waits_requests"]

WAITS, POOLS = 2000, 200
FEW_WAITS = 200
INTERVAL = 5.0
"""Seconds between two looks in the run; those of a Dag are longer, and cost as much for each look."""

ROUNDS = 8
"""Intervals that are measured: two of those in which every wait looks once though nothing changed."""

USUAL_INTERVAL = 30.0
LAG_INTERVAL = 3.0
BLOCK = 50


@dataclass(frozen=True)
class Steady:
    """
    What waits cost when nothing happens.

    :param requests: of one interval.
    :param cpu: seconds of one interval.
    :param memory: kilobytes of one wait.
    """

    requests: float
    cpu: float
    memory: float


def waits_requests() -> Result:
    """Count the requests of an interval, against those of the loop of Airflow's own hook in the same run."""
    ours, theirs = _measured().requests, _baseline_requests()
    return Result(ours, "requests/interval", theirs, theirs / ours, "at most 3, and 100 times fewer")


def waits_cpu() -> Result:
    """Measure the part of a core that the waits take when they look every 30 s."""
    cost, few = _measured().cpu, _measured(FEW_WAITS).cpu
    percent, few_percent = (100 * seconds / USUAL_INTERVAL for seconds in (cost, few))
    return Result(percent, "% of a core", None, None, f"less than 5 ({FEW_WAITS} waits: {few_percent:.2g})")


def waits_memory() -> Result:
    """Measure the memory of a wait, with what Airflow's triggerer keeps for each trigger."""
    return Result(_measured().memory, "KB/wait", None, None, "less than 20")


def waits_lag() -> Result:
    """Measure the time from a node's turning idle to the event, for all waits, at moments of chance."""
    with embedded_service() as account:
        names = make_pools(account, POOLS)
        nodes = node_ids(account, names)
        with connected(account):
            lags = asyncio.run(_lags(account, names, nodes))
    late = sorted(lags)[int(len(lags) * 0.99)]
    wanted = f"at most {LAG_INTERVAL + 1:g}: an interval of {LAG_INTERVAL:g} s and a second"
    return Result(late, "s at the 99th percentile", None, None, wanted)


@cache
def _measured(waits: int = WAITS) -> Steady:
    with embedded_service() as account:
        names = make_pools(account, POOLS)
        with connected(account):
            return asyncio.run(_steady(account, names, waits))


async def _steady(account: Account, names: list[str], waits: int) -> Steady:
    async with running(names, BLOCK, INTERVAL):
        before = _resident()
    async with running(names, waits, INTERVAL) as events:
        account.control.clear_requests()
        began = _cpu()
        await asyncio.sleep(ROUNDS * INTERVAL)
        spent = _cpu() - began
        requests = len(account.control.requests())
        memory = (_resident() - before) / waits
        assert not events.came
    return Steady(requests / ROUNDS, spent / ROUNDS, memory)


async def _lags(account: Account, names: list[str], nodes: dict[str, str]) -> list[float]:
    turned: dict[str, float] = {}
    async with running(names, WAITS, LAG_INTERVAL) as events:
        for name in random.sample(names, len(names)):
            await asyncio.sleep(random.uniform(0, 4 * LAG_INTERVAL / len(names)))
            turned[name] = time.monotonic()
            account.control.set_node(name, nodes[name], "idle")
        await asyncio.sleep(2 * LAG_INTERVAL)
        assert len(events.came) == WAITS, len(events.came)
        return [came - turned[names[number % len(names)]] for number, came in events.came]


def _baseline_requests() -> float:
    """
    Let as many waits look once as ``AzureBatchHook.wait_for_all_node_state`` of Airflow 3.3 does.

    Each of them holds a worker, gets its pool and lists its nodes, and does so again after ten seconds.
    """
    with embedded_service() as account:
        names = make_pools(account, POOLS)
        account.control.clear_requests()
        asyncio.run(_look_of_each(account, names))
        return float(len(account.control.requests()))


async def _look_of_each(account: Account, names: list[str]) -> None:
    async with open_client(account.settings) as client:

        async def look(number: int) -> None:
            name = names[number % len(names)]
            await client.sdk.get_pool(name)
            assert [node async for node in client.sdk.list_nodes(name)]

        await fan_out(range(WAITS), look, at_once=BLOCK)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024
