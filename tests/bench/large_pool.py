"""The requests of a wait for a pool of 10,000 nodes until they are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cache
from statistics import median
from urllib.parse import parse_qs

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient, open_client
from airflow_provider_batchlinux.client.pools.readiness import NodesIdleWait
from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.client.waits.loop import WaitSchedule
from airflow_provider_batchlinux.client.waits.shared_account import acquire_account
from airflow_provider_batchlinux.client.waits.watching import WatchedClient, wait_at_poller
from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy
from airflow_provider_batchlinux.emulator import EmulatorOptions, RunningEmulator, run_emulator
from tests.bench.metered import Meter, metered
from tests.bench.result import Limit, Result
from tests.bench.waiters import create_pool

__all__ = ["large_pool_wait", "large_pool_wait_bytes"]

NODES, FEW_NODES = 10_000, 10
PAGE = 1000
"""Nodes that the service lists in one request."""

STEP = 4.0
"""Seconds of the service's time between two polls: the allocation takes 31 of them, the boot 20."""

INTERVAL = 0.5
POOL = "large"


Scenario = Callable[[RunningEmulator, Meter, AccountSettings], Awaitable[float]]


@dataclass(frozen=True)
class Cost:
    """
    The cost of a wait until the pool was ready.

    :param requests: all requests.
    :param listings: requests for pages of the list of all nodes.
    :param unselected: requests for nodes with all their properties.
    :param received: bytes of all answers.
    :param poll: bytes of one poll, as the median.
    """

    requests: int
    listings: int
    unselected: int
    received: int
    poll: float


def large_pool_wait() -> Result:
    """Count the requests until 10,000 nodes are ready, against getting the pool and listing its nodes."""
    ours, theirs = _cost(_wait, NODES), _cost(_wait_as_airflow_does, NODES)
    limits = (
        Limit("pages of nodes, of one list of all", ours.listings, at_most=NODES / PAGE),
        Limit("lists of nodes without $select", ours.unselected, at_most=0),
    )
    return Result(ours.requests, "requests", theirs.requests, theirs.requests / ours.requests, limits=limits)


def large_pool_wait_bytes() -> Result:
    """Count the bytes of all answers until 10,000 nodes are ready, against the same alternative."""
    ours, theirs = _cost(_wait, NODES), _cost(_wait_as_airflow_does, NODES)
    few = _cost(_wait, FEW_NODES)
    limit = Limit(f"times the bytes of a poll at {FEW_NODES} nodes", ours.poll / few.poll, at_most=1.5)
    return Result(ours.received, "bytes", theirs.received, theirs.received / ours.received, limits=(limit,))


@cache
def _cost(scenario: Scenario, nodes: int) -> Cost:
    with run_emulator(EmulatorOptions(profile="realistic", clock="manual")) as emulator:
        settings = AccountSettings(
            emulator.endpoint, emulator.account, AuthKind.SHARED_KEY, account_key=emulator.key
        )
        asyncio.run(create_pool(settings, POOL, nodes))
        return asyncio.run(_metered_cost(emulator, settings, scenario))


async def _metered_cost(emulator: RunningEmulator, settings: AccountSettings, scenario: Scenario) -> Cost:
    emulator.control.clear_requests()
    async with metered(emulator.endpoint) as meter:
        poll = await scenario(emulator, meter, replace(settings, endpoint=meter.endpoint))
        asked = emulator.control.requests()
        lists = [request for request in asked if request["path"].endswith("/nodes")]
        whole = [request for request in lists if "$filter" not in parse_qs(request["query"])]
        unselected = [request for request in lists if "$select" not in parse_qs(request["query"])]
        return Cost(len(asked), len(whole), len(unselected), meter.received, poll)


async def _wait(emulator: RunningEmulator, meter: Meter, settings: AccountSettings) -> float:
    """Wait by the shared poller while the service's clock advances, and return the bytes of one poll."""
    polls = []
    async with acquire_account(settings) as account:
        waiting = asyncio.ensure_future(
            wait_at_poller(
                account.client, account.pools, WatchedClient, POOL, _wait_of, WaitSchedule(INTERVAL)
            )
        )
        while not waiting.done():
            received, turn = meter.received, account.pools.turn
            await asyncio.wait([waiting], timeout=INTERVAL)
            if turns := account.pools.turn - turn:
                polls.append((meter.received - received) / turns)
            await asyncio.to_thread(emulator.control.advance, STEP)
        await waiting
    return median(polls)


def _wait_of(client: BatchLinuxClient) -> NodesIdleWait:
    return NodesIdleWait(client, POOL, ReadinessPolicy())


async def _wait_as_airflow_does(emulator: RunningEmulator, meter: Meter, settings: AccountSettings) -> float:
    """Poll as ``AzureBatchHook.wait_for_all_node_state`` of Airflow 3.3, and return the bytes of one poll."""
    polls = []
    async with open_client(settings) as client:
        while True:
            before = meter.received
            pool = await client.sdk.get_pool(POOL)
            nodes = [node async for node in client.sdk.list_nodes(POOL)]
            polls.append(meter.received - before)
            if len(nodes) >= (pool.target_dedicated_nodes or 0) and {node.state for node in nodes} == {
                "idle"
            }:
                return median(polls)
            await asyncio.to_thread(emulator.control.advance, STEP)
