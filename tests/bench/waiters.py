"""Thousands of real triggers in one event loop, for benchmarks; each runs as Airflow's triggerer runs it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol
from unittest import mock

import structlog
from airflow.jobs.triggerer_job_runner import TriggerRunner

from airflow_provider_batchlinux.client.account import AccountSettings
from airflow_provider_batchlinux.client.batch import open_client
from airflow_provider_batchlinux.client.nodes import NodesIdleWait
from airflow_provider_batchlinux.client.waiting import Pace, wait_for
from airflow_provider_batchlinux.core.readiness import ReadinessPolicy
from airflow_provider_batchlinux.emulator import EmulatorControl
from airflow_provider_batchlinux.triggers.nodes import BatchLinuxNodesIdleTrigger

__all__ = ["Account", "Events", "connected", "create_pool", "make_pools", "node_ids", "running"]

CONN_ID = "azure_batch_linux_default"
IMAGE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}


class Account(Protocol):
    """An account of an embedded service, and the way to steer that."""

    @property
    def settings(self) -> AccountSettings:
        """How to reach it."""

    @property
    def control(self) -> EmulatorControl:
        """What happens to it from the outside."""


@contextmanager
def connected(account: Account) -> Iterator[None]:
    """Let Airflow's default connection lead to the account, and Airflow log no trigger's start and end."""
    settings = account.settings
    connection = {
        "conn_type": "azure_batch_linux",
        "login": settings.account_name,
        "password": settings.account_key,
        "extra": {"account_url": settings.endpoint},
    }
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with mock.patch.dict(os.environ, {f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(connection)}):
        yield


def make_pools(account: Account, number: int) -> list[str]:
    """Make pools with one node that is not to be reached yet, and give their ids."""
    names = [f"pool-{index:04}" for index in range(number)]
    asyncio.run(_create(account, names))
    for name, node_id in node_ids(account, names).items():
        account.control.set_node(name, node_id, "unknown")
    return names


def node_ids(account: Account, names: list[str]) -> dict[str, str]:
    """Give a node of each pool."""

    async def story() -> dict[str, str]:
        async with open_client(account.settings) as client:
            return {name: (await client.list_nodes(name))[0].node_id for name in names}

    return asyncio.run(story())


async def create_pool(settings: AccountSettings, pool_id: str, nodes: int) -> None:
    """Ask for a pool of the least that a pool can be."""
    machine = {"imageReference": IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
    body = {"id": pool_id, "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": machine}
    async with open_client(settings) as client:
        await client.create_pool({**body, "targetDedicatedNodes": nodes})


async def _create(account: Account, names: list[str]) -> None:
    async with open_client(account.settings) as client:
        for name in names:
            await create_pool(account.settings, name, 1)
            await wait_for(NodesIdleWait(client, name, ReadinessPolicy()), Pace(0.05))


class Events(deque[Any]):
    """
    What Airflow's runner keeps the events of triggers in.

    :ivar came: the trigger of each event, and when it came on the clock of :func:`time.monotonic`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.came: list[tuple[int, float]] = []

    def append(self, entry: Any) -> None:
        """Keep an event, and when it came."""
        assert entry.event.payload["error"] is None, entry.event.payload["error"]
        self.came.append((entry.trigger_id, time.monotonic()))


def start(runner: TriggerRunner, number: int, pool_id: str, interval: float) -> asyncio.Task[Any]:
    """Start one trigger by the code of the triggerer."""
    trigger = BatchLinuxNodesIdleTrigger(pool_id=pool_id, batch_linux_conn_id=CONN_ID, poll_interval=interval)
    details: Any = {"task": None, "is_watcher": False, "name": str(number), "events": 0}
    runner.triggers[number] = details
    details["task"] = asyncio.ensure_future(runner.run_trigger(number, trigger))
    task: asyncio.Task[Any] = details["task"]
    return task


@asynccontextmanager
async def running(names: list[str], number: int, interval: float) -> AsyncIterator[Events]:
    """Run triggers, spread over the pools, until the block ends; it begins when all have looked."""
    runner = TriggerRunner()
    events = runner.events = Events()
    tasks = []
    for index in range(number):
        await asyncio.sleep(0)  # as the runner does
        tasks.append(start(runner, index, names[index % len(names)], interval))
    try:
        await asyncio.sleep(min(interval, 5.0) * 1.2 + 2)
        yield events
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
