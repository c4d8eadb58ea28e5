"""Thousands of real triggers in one event loop, run by the code of Airflow's triggerer."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Protocol
from unittest import mock

import structlog
from airflow.jobs.triggerer_job_runner import TriggerRunner

from airflow_provider_batchlinux.client.api.batch import open_client
from airflow_provider_batchlinux.client.pools.readiness import NodesIdleWait
from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.client.waits.loop import WaitSchedule, wait_for
from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.emulator import EmulatorControl
from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger
from airflow_provider_batchlinux.triggers.nodes import BatchLinuxNodesIdleTrigger

__all__ = [
    "CONN_ID",
    "Account",
    "Events",
    "ask_for_pools",
    "connected",
    "create_pool",
    "idle_since",
    "make_pools",
    "running",
    "running_triggers",
]

CONN_ID = "azure_batch_linux_default"
IMAGE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}


class Account(Protocol):
    """An account of an embedded service, and its control plane."""

    @property
    def settings(self) -> AccountSettings:
        """The account's settings."""

    @property
    def control(self) -> EmulatorControl:
        """The control plane."""


@contextmanager
def connected(account: Account) -> Iterator[None]:
    """Set Airflow's default connection to the account, and do not log each trigger's start and end."""
    settings = account.settings
    connection = {
        "conn_type": "azure_batch_linux",
        "login": settings.account_name,
        "password": settings.account_key,
        "extra": {"account_url": settings.endpoint},
    }
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    # The first task of an Airflow takes five seconds to make its id.
    known = {"AIRFLOW__BATCH_LINUX__INSTALLATION_ID": "benchmarks"}
    with mock.patch.dict(os.environ, {f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(connection), **known}):
        yield


def make_pools(account: Account, number: int) -> list[str]:
    """Create pools with one node, which is in the state ``unknown``, and return their ids."""
    names = ask_for_pools(account, number)
    asyncio.run(_wait_until_ready(account, names))
    for name, node in asyncio.run(_nodes(account, names)).items():
        account.control.set_node(name, node.node_id, "unknown")
    return names


def ask_for_pools(account: Account, number: int) -> list[str]:
    """Create pools with one node, which may have no machine for a long time, and return their ids."""
    names = [f"pool-{index:04}" for index in range(number)]

    async def scenario() -> None:
        for name in names:
            await create_pool(account.settings, name, 1)

    asyncio.run(scenario())
    return names


async def idle_since(account: Account, names: list[str]) -> dict[str, datetime]:
    """Return when the node of each pool became idle, by the clock of the service."""
    nodes = await _nodes(account, names)
    assert {node.state for node in nodes.values()} == {"idle"}
    return {name: node.state_since for name, node in nodes.items() if node.state_since is not None}


async def create_pool(settings: AccountSettings, pool_id: str, nodes: int) -> None:
    """Create a pool from a minimal body."""
    machine = {"imageReference": IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
    body = {"id": pool_id, "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": machine}
    async with open_client(settings) as client:
        await client.create_pool({**body, "targetDedicatedNodes": nodes, "resizeTimeout": "PT2H"})


async def _wait_until_ready(account: Account, names: list[str]) -> None:
    async with open_client(account.settings) as client:
        for name in names:
            await wait_for(NodesIdleWait(client, name, ReadinessPolicy()), WaitSchedule(0.05))


async def _nodes(account: Account, names: list[str]) -> dict[str, NodeSnapshot]:
    """Return the node of each pool."""
    async with open_client(account.settings) as client:
        return {name: (await client.list_nodes(name))[0] for name in names}


class Events(deque[Any]):
    """
    The queue in which Airflow's runner keeps the events of triggers.

    :ivar came: for each event its trigger and its time, in seconds since 1970.
    """

    def __init__(self) -> None:
        super().__init__()
        self.came: list[tuple[int, float]] = []
        self.arrived = asyncio.Event()

    def append(self, entry: Any) -> None:
        """Record an event and its time."""
        assert entry.event.payload["error"] is None, entry.event.payload["error"]
        self.came.append((entry.trigger_id, time.time()))
        self.arrived.set()


def start(runner: TriggerRunner, number: int, trigger: BatchLinuxTrigger) -> asyncio.Task[Any]:
    """Start one trigger with the code of the triggerer."""
    details: Any = {"task": None, "is_watcher": False, "name": str(number), "events": 0}
    runner.triggers[number] = details
    details["task"] = asyncio.ensure_future(runner.run_trigger(number, trigger))
    task: asyncio.Task[Any] = details["task"]
    return task


@asynccontextmanager
async def running(names: list[str], number: int, interval: float) -> AsyncIterator[Events]:
    """Run triggers, distributed over the pools, until the block ends. It begins after all have polled."""

    def make(index: int) -> BatchLinuxTrigger:
        pool_id = names[index % len(names)]
        return BatchLinuxNodesIdleTrigger(
            pool_id=pool_id, batch_linux_conn_id=CONN_ID, poll_interval=interval
        )

    async with running_triggers(make, number) as events:
        await asyncio.sleep(min(interval, 5.0) * 1.2 + 2)
        yield events


@asynccontextmanager
async def running_triggers(make: Callable[[int], BatchLinuxTrigger], number: int) -> AsyncIterator[Events]:
    """Run triggers until the block ends; ``make`` returns one, given its number."""
    runner = TriggerRunner()
    events = runner.events = Events()
    tasks = []
    for index in range(number):
        await asyncio.sleep(0)  # as the runner does
        tasks.append(start(runner, index, make(index)))
    try:
        yield events
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
