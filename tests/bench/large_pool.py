"""Waiting for a pool of ten thousand nodes: what it asks of the service until they are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

from airflow_provider_batchlinux.client.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.client.batch import BatchLinuxClient, open_client
from airflow_provider_batchlinux.client.nodes import NodesIdleWait
from airflow_provider_batchlinux.client.sharing import shared_account
from airflow_provider_batchlinux.client.waiting import Pace
from airflow_provider_batchlinux.client.watching import wait_at_poller
from airflow_provider_batchlinux.core.readiness import ReadinessPolicy
from airflow_provider_batchlinux.emulator import EmulatorOptions, RunningEmulator, run_emulator
from tests.bench.metered import Meter, metered
from tests.bench.pools import Account
from tests.bench.result import Result
from tests.bench.waiters import create_pool

__all__ = ["large_pool_wait"]

NODES, FEW_NODES = 10_000, 10
STEP = 4.0
"""Seconds of the service's time between two looks: 31 of them go into the allocation, 20 into the boot."""

INTERVAL = 0.5


@dataclass(frozen=True)
class Cost:
    """
    What a wait cost until the pool was ready.

    :param requests: all of them.
    :param listings: those of whole lists of nodes, by their pages.
    :param received: bytes.
    :param look: bytes of one look at a pool whose nodes boot.
    """

    requests: int
    listings: int
    received: int
    look: float


def large_pool_wait() -> Result:
    """Count requests and bytes until 10,000 nodes are ready, against getting and listing them each time."""
    ours, few, theirs = _cost(_wait, NODES), _cost(_wait, FEW_NODES), _cost(_wait_as_airflow_does, NODES)
    pages = NODES // 1000
    assert ours.listings <= pages, f"{ours.listings} pages of nodes, where one list has {pages}"
    wanted = (
        f"all nodes listed once at most ({ours.received / 1e6:.1f} MB, baseline {theirs.received / 1e6:.0f}"
        f" MB); a look {ours.look / 1e3:.2g} kB, at {FEW_NODES} nodes {few.look / 1e3:.2g}"
    )
    return Result(ours.requests, "requests", theirs.requests, theirs.requests / ours.requests, wanted)


def _cost(wait: Callable[[AccountSettings, str], Awaitable[object]], nodes: int) -> Cost:
    with run_emulator(EmulatorOptions(profile="realistic", clock="manual")) as emulator:
        settings = AccountSettings(
            emulator.endpoint, emulator.account, AuthKind.SHARED_KEY, account_key=emulator.key
        )
        asyncio.run(create_pool(Account(settings, emulator.control), "large", nodes))
        return asyncio.run(_metered_cost(emulator, settings, wait))


async def _metered_cost(
    emulator: RunningEmulator,
    settings: AccountSettings,
    wait: Callable[[AccountSettings, str], Awaitable[object]],
) -> Cost:
    emulator.control.clear_requests()
    async with metered(emulator.endpoint) as meter:
        waiting = asyncio.ensure_future(wait(replace(settings, endpoint=meter.endpoint), "large"))
        look = await _pass_time(emulator, meter, waiting)
        await waiting
        asked = emulator.control.requests()
        lists = [request for request in asked if request["path"].endswith("/nodes")]
        whole = [request for request in lists if "$filter" not in parse_qs(request["query"])]
        return Cost(len(asked), len(whole), meter.received, look)


async def _pass_time(emulator: RunningEmulator, meter: Meter, waiting: asyncio.Future[object]) -> float:
    """Let the pool come up, and give the bytes that an interval took at most while its nodes booted."""
    looks = []
    while not waiting.done():
        before = meter.received
        await asyncio.wait([waiting], timeout=INTERVAL)
        looks.append(meter.received - before)
        await asyncio.to_thread(emulator.control.advance, STEP)
    return sorted(looks)[len(looks) // 2]


async def _wait(settings: AccountSettings, pool_id: str) -> object:
    def wait_of(client: BatchLinuxClient) -> NodesIdleWait:
        return NodesIdleWait(client, pool_id, ReadinessPolicy())

    async with shared_account(settings) as account:
        return await wait_at_poller(account, pool_id, wait_of, Pace(INTERVAL))


async def _wait_as_airflow_does(settings: AccountSettings, pool_id: str) -> object:
    """Look as ``AzureBatchHook.wait_for_all_node_state`` of Airflow 3.3 does."""
    async with open_client(settings) as client:
        while True:
            pool = await client.sdk.get_pool(pool_id)
            nodes = [node async for node in client.sdk.list_nodes(pool_id)]
            if len(nodes) >= (pool.target_dedicated_nodes or 0) and {node.state for node in nodes} == {
                "idle"
            }:
                return nodes
            await asyncio.sleep(INTERVAL)
