"""Delete pools that are no longer needed, and find pools that are idle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.instants import rest_instant
from airflow_provider_batchlinux.core.pools.sweep import OwnedPool, Sweep
from airflow_provider_batchlinux.exceptions import BatchRequestError

log = logging.getLogger(__name__)

_MAX_CONCURRENCY = 8


async def delete_swept(client: BatchLinuxClient, sweeps: Sequence[Sweep]) -> list[BatchRequestError | None]:
    """
    Delete pools.

    A pool that has changed since it was read is kept, because another Dag run may have reused it.

    :return: for each pool ``None``, or why it was not deleted.
    """

    async def delete(sweep: Sweep) -> BatchRequestError | None:
        try:
            await client.delete_pool(sweep.pool.pool_id, etag=sweep.pool.etag)
        except BatchRequestError as error:
            return error
        log.info("Pool %r is being deleted: %s.", sweep.pool.pool_id, sweep.reason)
        return None

    return await fan_out(sweeps, delete, max_concurrency=_MAX_CONCURRENCY)


async def idle_pools(
    client: BatchLinuxClient, pools: Sequence[OwnedPool], since: datetime
) -> list[OwnedPool]:
    """
    Return the pools whose nodes have neither run a task nor changed their state since an instant.

    One request finds the pools with idle and without running nodes; each of these takes one more request.
    """
    counts = {pool_id.lower(): states for pool_id, states in (await client.all_node_counts()).items()}

    def may_be_idle(pool: OwnedPool) -> bool:
        states = counts.get(pool.pool_id.lower(), {})
        return states.get("idle", 0) > 0 and not states.get("running")

    async def is_idle(pool: OwnedPool) -> bool:
        moved = f"state eq 'running' or stateTransitionTime ge DateTime'{rest_instant(since)}'"
        try:
            return not await client.list_nodes(pool.pool_id, where=moved)
        except BatchRequestError as error:
            if error.code != "PoolNotFound":
                raise
            return False

    likely = [pool for pool in pools if may_be_idle(pool)]
    found = await fan_out(likely, is_idle, max_concurrency=_MAX_CONCURRENCY)
    return [pool for pool, idle in zip(likely, found, strict=True) if idle]
