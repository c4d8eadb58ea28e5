"""Pools for other benchmarks, and the number of requests that a create takes."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timezone

from airflow_provider_batchlinux.client.api.batch import open_client
from airflow_provider_batchlinux.client.pools.create import ensure_pool
from airflow_provider_batchlinux.client.pools.readiness import NodesIdleWait
from airflow_provider_batchlinux.client.waits.loop import WaitSchedule, wait_for
from airflow_provider_batchlinux.core.pools.create_requests import PoolRequest
from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from tests.bench.result import Limit, Result
from tests.embedded_service import Service, embedded_service

__all__ = ["create_requests", "ready_pool"]

EXPLICIT = {
    "publisher": "canonical",
    "offer": "ubuntu-24_04-lts",
    "sku": "server",
    "node_agent_sku": "batch.node.ubuntu 24.04",
}


def ready_pool(account: Service, pool_id: str, nodes: int) -> None:
    """Create a pool that accepts SSH logins, and wait until its nodes are idle."""
    spec = PoolSpec(pool_id, EXPLICIT, "standard_d2s_v5", nodes, ssh_from=["127.0.0.1/32"])

    async def scenario() -> None:
        async with open_client(account.settings) as client:
            await ensure_pool(client, _request(spec))
            await wait_for(
                NodesIdleWait(client, pool_id, ReadinessPolicy()), WaitSchedule(0.2, time.time() + 60)
            )

    asyncio.run(scenario())


def create_requests() -> Result:
    """Count the requests of one create with an image name, and of one with a complete image reference."""
    with embedded_service() as account:
        resolved = _requests(account, PoolSpec("resolved", "ubuntu 24.04", "standard_d2s_v5", 1))
        given = _requests(account, PoolSpec("given", EXPLICIT, "standard_d2s_v5", 1))
    limits = (
        Limit("requests with an image name", resolved, at_most=3),
        Limit("requests with an image reference", given, at_most=2),
    )
    return Result(resolved, "requests", None, None, limits=limits)


def _requests(account: Service, spec: PoolSpec) -> int:
    async def scenario() -> None:
        async with open_client(account.settings) as client:
            await ensure_pool(client, _request(spec))

    account.control.clear_requests()
    asyncio.run(scenario())
    return len(account.control.requests())


def _request(spec: PoolSpec) -> PoolRequest:
    now = datetime.now(timezone.utc)
    return PoolRequest(spec, {}, needed_until=now, expires_at=None, now=now)
