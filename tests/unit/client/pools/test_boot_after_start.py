"""How long a node may boot that was deallocated and is started: its times are those of its previous life."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.readiness import NodesIdleWait
from airflow_provider_batchlinux.core.instants import rest_instant
from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.exceptions import PoolNotReadyError

BEGIN = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
LONG_AGO = rest_instant(BEGIN - timedelta(days=2))
POOL = {
    "id": "etl",
    "state": "active",
    "allocationState": "steady",
    "allocationStateTransitionTime": LONG_AGO,
    "currentDedicatedNodes": 1,
    "targetDedicatedNodes": 1,
}


@dataclass
class StartedNode:
    """A pool with one node that has just been started, as the service was recorded to report it."""

    node: dict[str, Any] = field(
        default_factory=lambda: {
            "id": "n",
            "state": "starting",
            "schedulingState": "disabled",
            **dict.fromkeys(("stateTransitionTime", "allocationTime", "lastBootTime"), LONG_AGO),
        }
    )

    async def find_pool(self, _pool_id: str) -> PoolSnapshot:
        return PoolSnapshot.from_rest(POOL)

    async def node_counts(self, _pool_id: str) -> dict[str, int]:
        return {"starting": 1}

    async def list_nodes(self, _pool_id: str, *, where: str | None) -> list[NodeSnapshot]:
        assert where is None
        return [NodeSnapshot.from_rest(self.node)]


@dataclass
class Waiting:
    """A wait whose clock the test sets."""

    service: StartedNode = field(default_factory=StartedNode)
    now: datetime = BEGIN

    def __post_init__(self) -> None:
        client = cast("BatchLinuxClient", self.service)
        policy = ReadinessPolicy(boot_limit=60)
        self.wait = NodesIdleWait(client, "etl", policy, clock=lambda: self.now)

    def poll_after(self, seconds: float) -> None:
        self.now = BEGIN + timedelta(seconds=seconds)
        assert asyncio.run(self.wait.poll()) is None


def test_a_node_that_is_started_has_its_limit_from_when_the_wait_first_saw_it() -> None:
    waiting = Waiting()

    waiting.poll_after(0)
    waiting.poll_after(60)
    with pytest.raises(PoolNotReadyError, match="node 'n': still starting after boot_limit"):
        waiting.poll_after(61)


def test_a_node_with_new_times_is_judged_by_them() -> None:
    waiting = Waiting()
    waiting.poll_after(0)
    began = rest_instant(BEGIN + timedelta(seconds=91))
    waiting.service.node.update(schedulingState="enabled", stateTransitionTime=began)

    waiting.poll_after(150)
    with pytest.raises(PoolNotReadyError, match="still starting after boot_limit"):
        waiting.poll_after(152)


def test_a_second_start_has_a_limit_of_its_own() -> None:
    waiting = Waiting()
    waiting.poll_after(0)
    waiting.service.node["state"] = "deallocated"
    waiting.poll_after(50)
    waiting.service.node["state"] = "starting"

    waiting.poll_after(100)
    waiting.poll_after(160)
